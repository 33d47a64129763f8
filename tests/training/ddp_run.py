"""Trains the tiny recipe in two processes; each leaves what it ended with in a file of its own.

Started by test_ddp.py as `python -m tests.training.ddp_run CLIPS RUN BAD_STEP...`, and by Lightning once more
for the other rank.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning
import torch

from codec.errors import CodecError
from tests.training.tiny import tiny_fit, tiny_recipe


class Recorder(lightning.Callback):
    """Keeps what the two ranks are compared by, after every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        bottleneck = module.model.bottleneck
        self.steps.append(
            {
                "input": batch.input.clone(),
                "words": bottleneck.quantizer.words.detach().clone(),
                "counts": bottleneck.usage.counts.clone(),
                "weights": torch.cat([p.detach().flatten() for p in module.parameters()]),
                "average": module.ema.state_dict()["shadow"]["bottleneck.quantizer.words"].clone(),
                "replaced": float(module.metrics.get("bottleneck/replaced", 0.0)),
                "quantizing": module.quantizing,
                "skipped": module.skipped,
            }
        )


class BadOnOneRank(lightning.Callback):
    """Spoils one batch of the second rank only."""

    def __init__(self, steps: set[int]) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
        if module.steps in self.steps and trainer.global_rank == 1:
            batch.target[0, 0] = float("nan")


def main(clips: Path, run: Path, bad: set[int]) -> None:
    recorder = Recorder()
    error = ""
    try:
        tiny_fit(tiny_recipe(), clips, run, devices=2, callbacks=[BadOnOneRank(bad), recorder])
    except CodecError as stopped:
        error = str(stopped)
    rank = torch.distributed.get_rank()
    torch.save({"steps": recorder.steps, "error": error}, run / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), {int(step) for step in sys.argv[3:]})
