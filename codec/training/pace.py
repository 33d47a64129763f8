"""Says from time to time how quickly a training goes and how busy its device is."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from codec.training.module import CodecTraining

log = logging.getLogger(__name__)

_GIB = 2**30


class Pace(Callback):
    """Logs steps a second, loss and device use every so many seconds.

    Args:
        seconds: time between two lines; 0 for one after every step.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._steps = 0
        self._since = 0.0
        self._busy = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to count."""
        self._start_over(cast(CodecTraining, pl_module))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Log where it is time, on the first rank."""
        wall = time.monotonic() - self._since
        if wall < self.seconds or not trainer.is_global_zero:
            return
        module = cast(CodecTraining, pl_module)
        # Waits for the device, so that what it is behind is not counted as done.
        loss = float(module.metrics["loss/total"])
        wall = time.monotonic() - self._since
        log.info(
            "step %d, %.1f %% of the training: %.2f steps/s, loss %.3f, %s",
            module.steps,
            100.0 * module.course.share,
            (module.steps - self._steps) / max(wall, 1e-9),
            loss,
            device_use(module.device, (time.process_time() - self._busy) / max(wall, 1e-9)),
        )
        self._start_over(module)

    def _start_over(self, module: CodecTraining) -> None:
        self._steps, self._since, self._busy = module.steps, time.monotonic(), time.process_time()


def device_use(device: torch.device, cores: float) -> str:
    """What a device is used for, as words; ``cores`` is how many of the CPU's the program kept busy."""
    if device.type != "cuda":
        return f"{cores:.1f} cores busy"
    _, total = torch.cuda.mem_get_info(device)
    memory = f"{torch.cuda.max_memory_allocated(device) / _GIB:.1f} of {total / _GIB:.0f} GiB at most"
    try:
        return f"GPU {torch.cuda.utilization(device)} % busy, {memory}, {cores:.1f} cores busy"
    except Exception:  # nvidia-ml-py is missing or fails in ways of its own; no training ends for that
        return f"{memory}, {cores:.1f} cores busy"
