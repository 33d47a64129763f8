"""Make a released folder of a training state: averaged weights, rounded to 16 bits, and configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError


def export(state_path: Path, folder: Path, recipe_path: Path | None = None, name: str | None = None) -> Path:
    """Write the model of a training state to a folder; returns its weights' file.

    recipe_path: the recipe of a state that does not hold its own. name: that of the released model, where it
    is not the recipe's. Raises CodecError where the state cannot be read or is of another recipe.
    """
    # Here, so that `--help` is quick.
    from codec.checkpoint import WEIGHTS_NAME, save_model
    from codec.training.config import read_recipe
    from codec.training.state import averaged_model, read_state, recipe_of

    state = read_state(state_path)
    recipe = recipe_of(state, state_path) if recipe_path is None else read_recipe(recipe_path)
    config = recipe.model if name is None else dataclasses.replace(recipe.model, name=name)
    save_model(averaged_model(state, config), folder)
    return folder / WEIGHTS_NAME


def main(
    state: Annotated[Path, typer.Argument(help="Training state: last.ckpt of a run.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the released model.")],
    config: Annotated[Path | None, typer.Option(help="Recipe of a state that does not hold its own.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model, instead of the recipe's.")] = None,
    part_mb: Annotated[
        float | None,
        typer.Option(help="Leave the weights in parts of so many MiB, for tools/join_parts.py."),
    ] = None,
) -> None:
    """Make a released folder of a training state."""
    from codec.training.parts import split_file

    try:
        weights = export(state, folder, config, name)
        size = weights.stat().st_size / 1e6
        if part_mb is not None:
            index = split_file(weights, folder, int(part_mb * 2**20))
            weights.unlink()
            weights = index
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{weights}: {size:.1f} MB; CARD.md is yours to write")


if __name__ == "__main__":
    typer.run(main)
