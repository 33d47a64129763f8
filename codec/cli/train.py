"""`codec train`: trains a recipe on folders of audio."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from codec.cli.console import Console, count
from codec.cli.options import Quiet
from codec.extras import require

_SOURCE = "folder, csv manifest, packed parts, or root of LibriSpeech, LibriTTS or VCTK"


def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A recipe: recipes/*/config.yaml.")],
    data: Annotated[list[str], typer.Option(help=f"What to train on: {_SOURCE}; may be given often.")],
    noise: Annotated[list[str] | None, typer.Option(help="Noise to mix in, as --data.")] = None,
    valid: Annotated[
        list[str] | None, typer.Option(help="Clips to measure on, never trained on, as --data.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder for state and log; by default runs/NAME of the model.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the state in --run ends.")] = False,
    init_from: Annotated[
        str | None,
        typer.Option(
            help="Model to start from: its folder or name, or a training state. --resume goes first."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the best there is.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many of them, one process each.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Length, instead of the recipe's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="The same in minutes, interruptions not counted.")
    ] = None,
    stop_after: Annotated[
        float | None, typer.Option(min=0.0, help="Minutes from now after which to pause, for --resume.")
    ] = None,
    save_minutes: Annotated[float, typer.Option(min=0.0, help="Minutes between two saved states.")] = 5.0,
    quiet: Quiet = False,
) -> int:
    """Train a codec: state, settings and TensorBoard log are kept in a folder.

    Ctrl-C ends it after the present step; --resume then goes on as if it had never been interrupted.
    """
    require("lightning", extra="train")
    from codec.training.config import read_recipe, with_length
    from codec.training.fit import fit

    # Lightning starts this command once more for each further device.
    quiet = quiet or os.environ.get("LOCAL_RANK", "0") != "0"
    console = Console(quiet=quiet)
    recipe = with_length(read_recipe(config), steps, minutes)
    folder = Path("runs", recipe.model.name) if run is None else run
    _log_to_stderr(quiet)
    module = fit(
        recipe,
        data,
        folder,
        noise or (),
        valid or (),
        resume=resume,
        init_from=init_from,
        device=device,
        devices=devices,
        save_minutes=save_minutes,
        stop_after=stop_after,
        progress=not quiet and sys.stderr.isatty(),
    )
    done = f"trained for {count(module.steps, 'step')}: the state is {folder / 'last.ckpt'}"
    console.note(done if module.course.over else f"{done}; go on with --resume")
    return 0


def _log_to_stderr(quiet: bool) -> None:
    """Show what the training says, and of Lightning only what went wrong."""
    logging.basicConfig(format="codec: %(message)s", level=logging.WARNING if quiet else logging.INFO)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
