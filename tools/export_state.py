"""Make a release artifact of a whole training state: what a training elsewhere can resume or start from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError, UsageError


def export_state(state_path: Path, folder: Path) -> Path:
    """Copy a training state and its recipe into a new folder, with a checksum; returns the copy.

    The folder holds ``last.ckpt`` (weights, their averages, optimizers, codebook usage and position in the
    data, as `codec train --resume` takes them), ``config.yaml`` and ``SHA256SUMS``.
    Raises UsageError where the folder exists, CodecError where the state cannot be read.
    """
    # Here, so that `--help` is quick.
    from codec.atomic import AtomicFile
    from codec.training.config import recipe_yaml
    from codec.training.fit import CONFIG_NAME
    from codec.training.state import STATE_NAME, read_state, recipe_of

    recipe = recipe_of(read_state(state_path), state_path)
    if folder.exists():
        raise UsageError(f"{folder} exists already: name a new folder")
    folder.mkdir(parents=True)
    files = {STATE_NAME: state_path.read_bytes(), CONFIG_NAME: recipe_yaml(recipe).encode()}
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    for name, data in {**files, "SHA256SUMS": "".join(sums).encode()}.items():
        with AtomicFile(folder / name) as file:
            file.write(data)
    return folder / STATE_NAME


def main(
    state: Annotated[Path, typer.Argument(help="Training state: last.ckpt of a run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the artifact.")],
    part_mb: Annotated[
        float | None,
        typer.Option(help="Leave the state in parts of so many MiB, for tools/join_parts.py."),
    ] = None,
) -> None:
    """Make a release artifact of a training state."""
    from codec.training.parts import split_file

    try:
        copy = export_state(state, folder)
        size = copy.stat().st_size / 1e6
        if part_mb is not None:
            split_file(copy, folder, int(part_mb * 2**20))
            copy.unlink()
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(
        f"{folder}: {size:.1f} MB; go on with codec train {folder}/config.yaml --run {folder} --resume"
    )


if __name__ == "__main__":
    typer.run(main)
