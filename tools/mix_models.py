"""Make a model on the way between two, of which the second was trained on from the first.

Means of weights along a fine-tuning often keep what it gains and lose less of what the start could do
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError, UsageError


def mix(first: str, second: str, share: float, folder: Path, name: str) -> Path:
    """Write the model that has a share of the second's weights and the rest of the first's; returns its file.

    It has no entropy tables, since those of neither fit it. Raises CodecError where a model cannot be read,
    UsageError where their weights do not mean the same. Its configuration is the second's.
    """
    # Here, so that `--help` is quick.
    from codec.checkpoint import WEIGHTS_NAME, load_model, save_model
    from codec.training.state import meaning

    start, end = load_model(first), load_model(second)
    if meaning(start.config) != meaning(end.config):
        raise UsageError(f"{first} and {second} differ in their configurations: name two models of one kind")
    weights = end.state_dict()
    for key, value in start.state_dict().items():
        if value.is_floating_point():
            weights[key] = value.lerp(weights[key], share)
    end.load_state_dict(weights)
    end.config, end.entropy = dataclasses.replace(end.config, name=name), None
    save_model(end, folder)
    return folder / WEIGHTS_NAME


def main(
    first: Annotated[str, typer.Argument(help="Name or folder of the model that was started from.")],
    second: Annotated[str, typer.Argument(help="Name or folder of the model that came of it.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the new model, its name as well.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="How far on the way to the second.")] = 0.5,
) -> None:
    """Make a model on the way between two, of which the second was trained on from the first."""
    try:
        weights = mix(first, second, share, folder, folder.name)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB; its entropy tables are yours to make")


if __name__ == "__main__":
    typer.run(main)
