"""Two passes: a given size at the best quality, since the first pass has seen the whole sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.errors import UsageError
from codec.rate.control import WindowControl
from codec.rate.trellis import COARSEST, FINEST, Choice, Trellis
from codec.rate.window import Window

# A first pass notes the sizes of windows at every so many slopes; between them they are interpolated.
_GRID = np.arange(FINEST, COARSEST + 1, 16)
# The share of all bits that the last window aims at.
_AIM = 0.001


@dataclass(frozen=True, eq=False)
class RatePlan:
    """What a first pass found out.

    Attributes:
        bits: ``[W, K]``, what the codes of each window are thought to take at each slope of a grid.
        samples: length of a channel, at the user's rate.
    """

    bits: NDArray[np.float64]
    samples: int


class Planner:
    """Makes a plan from the windows of a first pass."""

    def __init__(self, trellis: Trellis) -> None:
        self._trellis = trellis
        self._bits: list[list[float]] = []

    def add(self, window: Window) -> None:
        """Take the next window."""
        self._bits.append([choice.bits for choice in self._trellis.choose(window, _GRID.tolist())])

    def plan(self, samples: int) -> RatePlan:
        """The plan for all windows so far, whose sound has so many samples a channel."""
        return RatePlan(np.array(self._bits).reshape(-1, len(_GRID)), samples)


class PlannedRate(WindowControl):
    """One slope throughout, at which all that is left to send takes the bits that are left.

    Args:
        trellis: of the model.
        overhead: bits of a window beside its codes.
        max_frame_bits: no window takes more bits a frame; None for no limit.
        plan: of the first pass.
        total_bits: of the whole stream, less what it takes beside its windows.
    """

    def __init__(
        self, trellis: Trellis, overhead: int, max_frame_bits: float | None, plan: RatePlan, total_bits: float
    ) -> None:
        super().__init__(trellis, overhead, max_frame_bits)
        # What the windows from each on take together.
        self._ahead = np.cumsum(plan.bits[::-1], axis=0)[::-1]
        self._total = total_bits
        self._left = total_bits
        self._window = 0

    def retarget(self, target: float) -> None:
        """A plan holds for its target alone: raises UsageError."""
        raise UsageError("the target of an encoding in two passes stays as it was planned")

    def _choose(self, window: Window, final: bool) -> Choice:
        if self._window >= len(self._ahead):
            raise UsageError("the sound of the second pass is longer than that of the first")
        if final:
            self._aim = (self._left - _AIM * self._total, self._left + _AIM * self._total)
            return self._spend(window, self._left)
        slope = self._slope()
        if slope == FINEST:
            # All is sent that does any good, and more is wanted: each window takes its share.
            return self._spend(window, self._left / (len(self._ahead) - self._window))
        return self._trellis.choose(window, [slope])[0]

    def _settle(self, window: Window, choice: Choice, bits: int) -> None:
        self._left -= bits
        self._window += 1

    def _slope(self) -> int:
        """The slope at which the windows from here on take the bits that are left."""
        windows = len(self._ahead) - self._window
        wanted = max((self._left - windows * self._overhead) / self._ratio, 1.0)
        # Coarser slopes take fewer bits: reversed, sizes rise as np.interp wants them.
        sizes = np.log(np.maximum(self._ahead[self._window][::-1], 1.0))
        return round(float(np.interp(np.log(wanted), sizes, _GRID[::-1].astype(np.float64))))
