"""VBR: equal quality throughout, whatever it takes."""

from __future__ import annotations

from collections.abc import Sequence

from codec.errors import UsageError
from codec.rate.control import WindowControl
from codec.rate.trellis import Choice, Trellis
from codec.rate.window import Window

MAX_QUALITY = 10.0
DEFAULT_QUALITY = 5.0

# The slopes of quality 0 and 10, between which the index is linear.
_COARSE, _FINE = -100.0, -300.0


def check_quality(quality: float) -> float:
    """The quality, if it is one.

    Raises:
        UsageError: it lies outside 0 to 10.
    """
    if not 0.0 <= quality <= MAX_QUALITY:
        raise UsageError(f"the quality must lie between 0 and {MAX_QUALITY:g}, not {quality:g}")
    return quality


class VariableRate(WindowControl):
    """Spends bits where they reduce the weighted error by at least the slope that the quality names."""

    def __init__(self, trellis: Trellis, overhead: int, max_frame_bits: float | None, quality: float) -> None:
        super().__init__(trellis, overhead, max_frame_bits)
        self.retarget(quality)

    def retarget(self, target: float) -> None:
        """Take another quality from the next window on; see `check_quality`."""
        self._index = round(_COARSE + (_FINE - _COARSE) * check_quality(target) / MAX_QUALITY)

    def _choose(self, window: Window, final: bool, rest: Sequence[Window]) -> Choice:
        return self._trellis.choose(window, [self._index])[0]

    def _settle(self, window: Window, choice: Choice, bits: int) -> None:
        """What was sent changes nothing."""
