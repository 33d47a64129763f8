"""``python -m codec.training``: what ``codec train`` does, for machines with neither typer nor rich.

It needs torch, lightning, numpy, soundfile and, as lightning does, pyyaml; public corpora in their own
layouts need torchaudio, too.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.errors import CodecError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m codec.training", description="Train a codec.")
    parser.add_argument("config", help="a recipe: recipes/*/*.yaml")
    parser.add_argument("--data", action="append", required=True, help="what to train on")
    parser.add_argument("--noise", action="append", default=[], help="noise to mix in")
    parser.add_argument("--valid", action="append", default=[], help="clips to measure on")
    parser.add_argument("--run", type=Path, required=True, help="folder for state and log")
    parser.add_argument("--resume", action="store_true", help="go on where the state in --run ends")
    parser.add_argument("--init-from", help="model to start from; --resume goes first")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto for the best there is")
    parser.add_argument("--steps", type=int, help="length of the training, instead of the recipe's")
    parser.add_argument("--minutes", type=float, help="the same in minutes, interruptions not counted")
    parser.add_argument("--stop-after", type=float, help="minutes from now after which to pause")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="minutes between two saved states")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; returns the exit code."""
    given = _parser().parse_args(arguments)
    # Here, so that `--help` is quick.
    from codec.training.config import read_recipe, with_length
    from codec.training.fit import fit

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        module = fit(
            with_length(read_recipe(given.config), given.steps, given.minutes),
            given.data,
            given.run,
            given.noise,
            given.valid,
            resume=given.resume,
            init_from=given.init_from,
            device=given.device,
            save_minutes=given.save_minutes,
            stop_after=given.stop_after,
            progress=False,
        )
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    end = "done" if module.course.over else "paused, go on with --resume"
    print(f"{module.steps} steps, {module.course.seconds / 60:.1f} minutes: {end}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
