"""What all rate controls have in common that decide window by window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from codec.rate.trellis import COARSEST, Choice, Trellis
from codec.rate.window import Window

# A window whose real size misses its aim is decided anew so many times.
_MOST_TRIES = 5
# The expected size follows the real ones of about so many frames. Before any, both are taken to be alike,
# with the weight of so many bits.
_MEMORY = 300.0
_FIRST_BITS = 200.0


class WindowControl(ABC):
    """Decides windows in order: `choose`, then `revise` with the real size until it has no better choice.

    Sizes are bits of a whole window as it is sent, with all that is not codes.

    Args:
        trellis: of the model.
        overhead: bits of a window beside its codes.
        max_frame_bits: no window takes more bits a frame, unless its fewest codebooks do; None for no limit.
    """

    def __init__(self, trellis: Trellis, overhead: int, max_frame_bits: float | None) -> None:
        self._trellis = trellis
        self._overhead = overhead
        self._max_frame_bits = max_frame_bits
        self._real = self._thought = _FIRST_BITS  # bits of codes lately
        self._tries = 0
        self._aim: tuple[float, float] | None = None
        self._near: int | None = None  # a slope that was found lately

    def choose(self, window: Window, final: bool, rest: Sequence[Window] = ()) -> Choice:
        """The numbers of codebooks of the next window.

        Args:
            window: the next.
            final: none follows.
            rest: all that follow, where the end is known.
        """
        self._tries = 0
        self._aim = None
        choice = self._choose(window, final, rest)
        limit = self._limit(window)
        return choice if self._expected(choice) <= limit else self._spend(window, limit)

    def revise(self, window: Window, choice: Choice, bits: int) -> Choice | None:
        """A better choice, now that the real size of the last one is known, or None: then that one holds."""
        self._tries += 1
        better = self._better(window, choice, bits)
        if better is None:
            kept = max(1.0 - window.frames / _MEMORY, 0.0)
            self._real = kept * self._real + max(bits - self._overhead, 0)
            self._thought = kept * self._thought + choice.bits
            self._settle(window, choice, bits)
        return better

    @abstractmethod
    def _choose(self, window: Window, final: bool, rest: Sequence[Window]) -> Choice:
        """See `choose`; may set ``_aim``, bounds that the real size should keep."""

    @abstractmethod
    def _settle(self, window: Window, choice: Choice, bits: int) -> None:
        """Note what was sent."""

    def _better(self, window: Window, choice: Choice, bits: int) -> Choice | None:
        limit = self._limit(window)
        expected = self._expected(choice)
        if bits > limit:
            if choice.slope == COARSEST:
                return None
            if self._tries > _MOST_TRIES:
                return self._trellis.choose(window, [COARSEST])[0]
            return self._spend(window, expected + limit * (1 - 0.01 * self._tries) - bits)
        if self._aim is None or self._tries > _MOST_TRIES or self._aim[0] <= bits <= self._aim[1]:
            return None
        middle = min(sum(self._aim) / 2, limit)
        better = self._spend(window, expected + middle - bits)
        return None if better.bits == choice.bits else better

    @property
    def _ratio(self) -> float:
        """Of real to estimated sizes."""
        return self._real / self._thought if min(self._real, self._thought) > 1.0 else 1.0

    def _limit(self, window: Window) -> float:
        return float("inf") if self._max_frame_bits is None else self._max_frame_bits * window.frames

    def _expected(self, choice: Choice) -> float:
        return choice.bits * self._ratio + self._overhead

    def _spend(self, window: Window, bits: float) -> Choice:
        """The best choice that is expected to take at most so many bits."""
        choice = self._trellis.spend(window, (bits - self._overhead) / self._ratio, self._near)
        self._near = choice.slope
        return choice
