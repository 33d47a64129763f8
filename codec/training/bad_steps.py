"""Steps whose gradient is not finite: counted without making the device wait, and ended when they pile up."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from codec.errors import CodecError
from codec.training.segments import SegmentBatch

log = logging.getLogger(__name__)

MAX_IN_A_ROW = 3


class _Step(NamedTuple):
    """A step that was not looked at yet: its number, a scalar that is true where it was bad, its batch."""

    number: int
    bad: Tensor
    batch: SegmentBatch


class BadSteps:
    """Counts the steps that changed nothing because a gradient was not finite.

    A look at a number on a GPU waits until the GPU has come to it, so steps are only noted, and looked at
    together every now and then. `skipped` counts all bad ones, `in_a_row` those at the end, as of that look.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.in_a_row = 0
        self._noted: list[_Step] = []

    def note(self, number: int, norms: list[Tensor], batch: SegmentBatch) -> None:
        """Note step `number` with the norms of its gradients, scalars, and its batch."""
        bad = ~torch.stack(norms).isfinite().all()
        self._noted.append(_Step(number, bad, batch))

    def look(self, folder: Path, rank: int) -> None:
        """Count the noted steps.

        Raises CodecError at three bad ones in a row; the last one's batch is then saved in `folder`.
        """
        noted, self._noted = self._noted, []
        if not noted:
            return
        for step, bad in zip(noted, torch.stack([step.bad for step in noted]).tolist(), strict=True):
            if not bad:
                self.in_a_row = 0
                continue
            self.skipped += 1
            self.in_a_row += 1
            log.warning("step %d is skipped: its gradient is not finite", step.number)
            if self.in_a_row >= MAX_IN_A_ROW:
                _give_up(step, folder / f"bad_batch_{rank}.pt")


def _give_up(step: _Step, path: Path) -> None:
    torch.save({"step": step.number, "input": step.batch.input, "target": step.batch.target}, path)
    raise CodecError(
        f"the gradients of {MAX_IN_A_ROW} steps in a row were not finite: look at the last batch, "
        f"saved as {path}, or go on from the last state with a lower learning rate"
    )
