"""Keeps the state of a training on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class StateSaver(Callback):
    """Saves the whole state every so many minutes.

    Lightning's ModelCheckpoint never saves by time under manual optimization (seen in 2.6: it returns before
    it looks at the clock).

    Args:
        path: where the state goes; it is replaced as a whole.
        minutes: time between two saves.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.seconds = 60.0 * minutes
        self._last = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Save where it is time; the first rank's clock decides for all."""
        if trainer.strategy.broadcast(time.monotonic() - self._last >= self.seconds):
            trainer.save_checkpoint(self.path)
            self._last = time.monotonic()
