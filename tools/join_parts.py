"""Join files that came in parts: those of tools/export_checkpoint.py and tools/export_state.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError
from codec.training.parts import INDEX_SUFFIX, join_parts


def main(
    folder: Annotated[Path, typer.Argument(help="Folder with NAME.parts and NAME.0, NAME.1, ...")],
) -> None:
    """Join every file of a folder that lies there in parts."""
    try:
        indices = sorted(folder.glob(f"*{INDEX_SUFFIX}"))
        if not indices:
            raise CodecError(f"{folder} holds no list of parts (NAME{INDEX_SUFFIX}): fetch all that was cut")
        for index in indices:
            joined = join_parts(index)
            typer.echo(f"{joined}: {joined.stat().st_size / 1e6:.1f} MB")
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
