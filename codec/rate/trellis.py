"""The numbers of codebooks that lose least for their bits: a Lagrangian trellis over frames.

For a slope s the sum of distortion + s x bits is minimized, with the price of telling the numbers included,
by the Viterbi algorithm (Ortega and Ramchandran, "Rate-distortion methods for image and video compression",
IEEE Signal Processing Magazine 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.rate.window import COST_UNIT, Window

Counts = NDArray[np.int64]

# Slopes are powers of two, so many steps an octave: a step changes the bits by about 2 %.
_STEPS = 16
FINEST, COARSEST = -26 * _STEPS, 2 * _STEPS
"""The range of slopes: all codebooks, and one."""

# Slopes tried at once when one is looked for.
_TRIED = 8
# Slopes tried first, so far from one that was found lately: that takes 30 % fewer tries.
_AROUND = (-24, -8, -3, 0, 3, 8, 24)
# So much may be left of the bits that are to be spent, before other ways are tried.
_GAP = 0.02


class Choice(NamedTuple):
    """``counts`` ``[C, F]``, the bits they are thought to take, and the index of the slope they are best for.

    The slope of index i is 2 ** (i / 16): the distortion that a bit must save. ``stored`` codes are to be
    sent raw, where they would take too little otherwise.
    """

    counts: Counts
    bits: float
    slope: int
    stored: bool = False


class Trellis:
    """Decides windows of one model.

    Args:
        count_costs: ``[M + 2, M + 1]`` int64, what a number n costs after each n before it, in parts of
            `COST_UNIT`; the last row holds at the start of a window.
    """

    def __init__(self, count_costs: NDArray[np.int64]) -> None:
        self._first = count_costs[-1].astype(np.float64)
        self._change = np.ascontiguousarray(count_costs[:-1].T.astype(np.float64))  # [after, before]

    def __deepcopy__(self, memo: object) -> Trellis:
        """A copied stream shares it, since nothing changes it."""
        return self

    def choose(self, window: Window, indices: Sequence[int], even: bool = True) -> list[Choice]:
        """The best numbers for each slope; where one number for all frames is better, that, if ``even``."""
        slopes = np.array([2.0 ** (index / _STEPS) for index in indices]) / COST_UNIT
        counts = self._walk(window, slopes)
        bits = self._bits(window, counts)
        choices = [Choice(counts[at], float(bits[at]) / COST_UNIT, index) for at, index in enumerate(indices)]
        if not even:
            return choices
        rows = counts[..., None]
        spread = np.take_along_axis(window.distortion[None], rows, axis=3).sum(axis=(1, 2, 3)) + slopes * bits
        same_bits = window.bits.sum(axis=(0, 1))
        same = window.distortion.sum(axis=(0, 1)) + slopes[:, None] * same_bits
        for at in np.flatnonzero(same.min(axis=1) <= spread).tolist():
            n = int(same[at].argmin())
            everywhere = np.full(counts.shape[1:], n)
            choices[at] = Choice(everywhere, float(same_bits[n]) / COST_UNIT, indices[at])
        return choices

    def bits(self, window: Window, counts: Counts) -> float:
        """What numbers ``[C, F]`` are thought to take, their codes included."""
        return float(self._bits(window, counts[None])[0]) / COST_UNIT

    def spend(self, window: Window, bits: float, near: int | None = None) -> Choice:
        """The best numbers that take at most so many bits, as far as is thought; if none do, the fewest.

        ``near`` is a slope near which that of the answer may lie, which makes the search shorter.
        """
        choice = self._spend(window, bits, near, even=True)
        if choice.bits > bits * (1 - _GAP):
            return choice
        # From one number for all to several is a step, since all must then be told.
        other = self._spend(window, bits, near, even=False)
        return other if choice.bits < other.bits <= bits else choice

    def all(self, window: Window) -> Choice:
        """All codebooks in all frames."""
        counts = np.full(window.bits.shape[:2], window.bits.shape[2] - 1)
        return Choice(counts, float(window.bits[:, :, -1].sum()) / COST_UNIT, FINEST)

    def _spend(self, window: Window, bits: float, near: int | None, even: bool) -> Choice:
        inner = _slopes_between(FINEST, COARSEST) if near is None else _slopes_around(near)
        tried = [FINEST, *inner, COARSEST]
        finer, *choices, best = self.choose(window, tried, even)
        if best.bits > bits:
            return best
        if finer.bits <= bits:
            # Nothing is to be gained any more, but the bits are wanted.
            return self._between(window, self.all(window), finer, bits)
        while choices:
            best = next((choice for choice in choices if choice.bits <= bits), best)
            finer = next((choice for choice in reversed(choices) if choice.bits > bits), finer)
            choices = self.choose(window, _slopes_between(finer.slope, best.slope), even)
        return self._between(window, finer, best, bits)

    def _between(self, window: Window, finer: Choice, coarser: Choice, bits: float) -> Choice:
        """The finer choice for as many frames as the bits allow, then the coarser: where many frames are
        alike, neighbouring slopes lie far apart."""
        frames = np.arange(window.frames)
        counts = np.where(frames < frames[:, None, None], finer.counts, coarser.counts)
        taken = self._bits(window, counts) / COST_UNIT
        if finer.bits <= bits:
            return finer
        fitting = np.flatnonzero(taken <= bits)
        if not len(fitting) or taken[fitting].max() <= coarser.bits:
            return coarser
        best = fitting[taken[fitting].argmax()]
        return Choice(counts[best], float(taken[best]), coarser.slope)

    def _walk(self, window: Window, slopes: NDArray[np.float64]) -> Counts:
        """The paths ``[L, C, F]`` of least cost for slopes ``[L]``."""
        least = self._least_costs(window, slopes)
        frames, paths, channels, numbers = least.shape
        # [L x (M + 1), M + 1]: for each slope what a number costs after those before it.
        change = (slopes[:, None, None] * self._change).reshape(-1, numbers)
        first_row = np.repeat(np.arange(paths) * numbers, channels)
        least = least.reshape(frames, -1, numbers)
        counts = np.empty(least.shape[:2], np.int64)
        counts[-1] = least[-1].argmin(axis=1)
        for frame in range(frames - 1, 0, -1):
            # Only on the path itself is it asked which number before was best: that is a sum of few numbers.
            reached = change.take(first_row + counts[frame], axis=0)
            reached += least[frame - 1]
            reached.argmin(axis=1, out=counts[frame - 1])
        return counts.reshape(frames, paths, channels).transpose(1, 2, 0)

    def _least_costs(self, window: Window, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least that paths up to each frame cost that end in each number: ``[F, L, C, M + 1]``."""
        per_bit = slopes[:, None, None]
        # The numbers before come first: a minimum over the first dimension takes a third of the time.
        change = np.ascontiguousarray((per_bit * self._change).transpose(2, 0, 1))[:, :, None]
        costs = window.distortion[:, None] + per_bit * window.bits[:, None]
        least = np.ascontiguousarray(costs.transpose(2, 1, 0, 3))
        least[0] += per_bit * self._first
        before = least.transpose(0, 3, 1, 2)[..., None]
        reached = np.empty((len(change), *least.shape[1:]))
        best = np.empty(least.shape[1:])
        for frame in range(1, len(least)):
            np.add(before[frame - 1], change, out=reached)
            least[frame] += np.minimum.reduce(reached, axis=0, out=best)
        return least

    def _bits(self, window: Window, counts: Counts) -> NDArray[np.float64]:
        """What codes and numbers ``[L, C, F]`` take, ``[L]``; one number for all is told for nothing."""
        codes = np.take_along_axis(window.bits[None], counts[..., None], axis=3).sum(axis=(1, 2, 3))
        first = self._first[counts[:, :, 0]].sum(axis=1)
        changes = self._change[counts[:, :, 1:], counts[:, :, :-1]].sum(axis=(1, 2))
        varies = (counts != counts[:, :1, :1]).any(axis=(1, 2))
        total: NDArray[np.float64] = codes + np.where(varies, first + changes, 0.0)
        return total


def _slopes_around(index: int) -> list[int]:
    return [index + step for step in _AROUND if FINEST < index + step < COARSEST]


def _slopes_between(finer: int, coarser: int) -> list[int]:
    """Some slopes between two, as evenly as they lie; none where the two are neighbours."""
    step = (coarser - finer) / _TRIED
    tried = sorted({round(finer + step * (at + 0.5)) for at in range(_TRIED)})
    return [index for index in tried if finer < index < coarser]
