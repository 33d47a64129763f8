"""Two passes: a given size at the best quality, since the first pass has seen the whole sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.rate.control import WindowControl
from codec.rate.trellis import COARSEST, FINEST, Choice, Trellis
from codec.rate.window import Window

# A first pass notes the sizes of windows at every so many slopes; between them they are interpolated.
_GRID = np.arange(FINEST, COARSEST + 1, 16)
# The share of all bits that the last window aims at.
_AIM = 0.001
_LAST_BUT_ONE = 0.01
# Where a slope takes so much more or less than the slopes beside it promise, bits are filled up to the share.
_JUMP = 0.1


class PlannedRate(WindowControl):
    """One slope throughout, at which all that is left to send takes the bits that are left.

    The first pass shows it every window with `add`; then `begin`, and the windows are decided.

    Args:
        trellis: of the model.
        overhead: bits of a window beside its codes.
        max_frame_bits: no window takes more bits a frame; None for no limit.
    """

    def __init__(self, trellis: Trellis, overhead: int, max_frame_bits: float | None) -> None:
        super().__init__(trellis, overhead, max_frame_bits)
        # What the codes of each window are thought to take at each slope of the grid.
        self._noted: list[list[float]] = []

    def add(self, window: Window) -> None:
        """Take note of the next window."""
        self._noted.append([choice.bits for choice in self._trellis.choose(window, _GRID.tolist())])

    def begin(self, total_bits: float) -> None:
        """Plan all windows: together they are to take so many bits."""
        self._bits = np.array(self._noted).reshape(-1, len(_GRID))
        # What the windows from each on take together.
        self._ahead = np.cumsum(self._bits[::-1], axis=0)[::-1]
        self._total = self._left = total_bits
        self._window = 0

    def _choose(self, window: Window, final: bool, rest: Sequence[Window]) -> Choice:
        if final:
            self._aim = (self._left - _AIM * self._total, self._left + _AIM * self._total)
            return self._spend(window, self._left)
        index, share = self._place()
        if self._window == len(self._bits) - 2:
            # The last window may be too short to make up for this one.
            self._aim = (share * (1 - _LAST_BUT_ONE), share * (1 + _LAST_BUT_ONE))
        choice = self._trellis.choose(window, [index])[0]
        if abs(self._expected(choice) - share) <= _JUMP * share:
            return choice
        return self._spend(window, share)

    def _settle(self, window: Window, choice: Choice, bits: int) -> None:
        self._left -= bits
        self._window += 1

    def _place(self) -> tuple[int, float]:
        """The slope at which all windows from here on take what is left, and what the next takes there."""
        windows = len(self._bits) - self._window
        wanted = max((self._left - windows * self._overhead) / self._ratio, 1.0)
        # Coarser slopes take fewer bits: reversed, sizes rise as np.interp wants them.
        ahead, own = self._ahead[self._window][::-1], self._bits[self._window][::-1]
        if wanted >= ahead[-1]:
            # All is sent that does any good, and more is wanted.
            return FINEST, self._left * float(own[-1] / ahead[-1])
        places = np.arange(len(ahead))
        place = np.interp(wanted, ahead, places)
        share = float(np.interp(place, places, own)) * self._ratio + self._overhead
        return round(float(np.interp(place, places, _GRID[::-1]))), share
