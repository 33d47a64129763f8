"""ABR: a given rate on average, bits lent and saved between frames and windows by a bounded reservoir."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.rate.control import WindowControl
from codec.rate.trellis import COARSEST, FINEST, Choice, Trellis
from codec.rate.window import Window, join_windows

# Bits change by a factor of e for about so many steps of the slope's index.
_STEPS_A_FACTOR = 55.0
# A stream pays for its header and footer during its first seconds, and is exact from then on.
_PAYING_SECONDS = 6.0
# After that, debts and savings stay below these shares of the time so far: what is saved is easier to spend
# in the last window than a debt is to pay.
_DEBT, _SAVINGS = 0.004, 0.008
# Near what all codebooks take, savings can hardly be spent: there all are sent while that leads to no debt
# above this share. Near means that they take at least so much of what may be spent.
_DEBT_OF_ALL, _NEAR = 0.008, 0.95
# An aim lies so far from the edge towards the middle, lest the real size miss it.
_INWARD = 0.25
# Before, a window may lend so many seconds.
_FIRST_LOAN = 0.5
_MOST_SECONDS = 4.0
# Debts and savings are to be gone after so many seconds, and slopes are averaged over as many.
_RETURN_SECONDS = 4.0
# The share of all bits that the last window aims at.
_AIM = 0.0015
# Raw codes may exceed it by this share of all bits where that is nearer than what entropy coded ones take.
_EXCESS = 0.004
# The share of its own bits that one of the last windows aims at, but for the very last.
_PART = 0.01


@dataclass(frozen=True)
class Budget:
    """What may be spent: bits of all channels.

    Attributes:
        frame_bits: for a frame.
        fixed_bits: what the stream takes beside its windows.
        free_frames: frames at the start that stand for no time of the sound (the codec's delay).
        frame_rate: frames a second.
        code_bits: of a raw code.
    """

    frame_bits: float
    fixed_bits: int
    free_frames: float
    frame_rate: float
    code_bits: int


class AverageRate(WindowControl):
    """Keeps to a slope that follows the target slowly, within what the reservoir holds.

    The last window is decided by what is left, and anew while its real size misses that; those before it
    that are still to be decided when the end comes, together with it. What all their codebooks leave over is
    taken up as far as it can be by sending some of them raw.
    """

    def __init__(self, trellis: Trellis, overhead: int, max_frame_bits: float | None, budget: Budget) -> None:
        super().__init__(trellis, overhead, max_frame_bits)
        self._budget = budget
        self._frames = 0
        self._granted = -budget.free_frames * budget.frame_bits
        self._spent = 0.0
        self._spent_by_all = 0.0
        self._index: float | None = None
        # What the window may take at the end of the stream; before, nothing has to be used up.
        self._wanted: float | None = None

    def retarget(self, target: float) -> None:
        """Take another number of bits a frame from the next window on."""
        if self._index is not None:
            self._index -= _STEPS_A_FACTOR * math.log(target / self._budget.frame_bits)
        self._budget = replace(self._budget, frame_bits=target)

    def _choose(self, window: Window, final: bool, rest: Sequence[Window]) -> Choice:
        if rest:
            return self._share(window, rest)
        left = self._left(window, final)
        total = self._granted_after(window)
        if final:
            self._wanted = left
            self._aim = (left - _AIM * total, left + _AIM * total)
            return self._spend(window, left)
        if self._takes_all(window):
            return self._trellis.all(window)
        lowest, highest = left - self._slack(window, _SAVINGS), left + self._slack(window, _DEBT)
        self._aim = (lowest, highest)
        if self._index is None:
            return self._spend(window, left)
        choice = self._trellis.choose(window, [round(self._index)])[0]
        expected = self._expected(choice)
        if lowest <= expected <= highest:
            return choice
        edge = highest if expected > highest else lowest
        return self._spend(window, edge + _INWARD * (left - edge))

    def _share(self, window: Window, rest: Sequence[Window]) -> Choice:
        """The window's part of what is left for it and the last ones, which may be silent and take little."""
        together = join_windows([window, *rest])
        left = self._left(together, True) - len(rest) * self._overhead
        choice = self._spend(together, left)
        part = self._trellis.bits(window, choice.counts[:, : window.frames]) * self._ratio + self._overhead
        self._wanted = part + left - self._expected(choice)
        self._aim = (part * (1 - _PART), part * (1 + _PART))
        return self._spend(window, part)

    def _better(self, window: Window, choice: Choice, bits: int) -> Choice | None:
        if choice.stored:
            return None
        better = super()._better(window, choice, bits)
        return better if better is not None or self._wanted is None else self._stored(window, bits)

    def _stored(self, window: Window, bits: int) -> Choice | None:
        """Raw codes, if they come nearer to what is wanted than ``bits`` that entropy coded ones take.

        All of each frame, and in frames that nobody hears as many as fit.
        """
        assert self._wanted is not None
        silent = window.distortion[:, :, 0] == 0.0
        most, code_bits = window.bits.shape[2] - 1, self._budget.code_bits
        counts = np.full(silent.shape, most)
        if silent.any():
            heard = (silent.size - silent.sum()) * most * code_bits + silent.size * most.bit_length()
            fitting = (self._wanted - self._overhead - heard) / (silent.sum() * code_bits)
            counts[silent] = min(max(int(fitting), 0), most)
        told = silent.size * most.bit_length() if counts.min() < most else 0
        taken = float(counts.sum()) * code_bits + told
        real = taken + self._overhead
        excess = real - self._wanted
        nearer = abs(excess) < abs(bits - self._wanted)
        if not nearer or excess > _EXCESS * self._granted_after(window) or real > self._limit(window):
            return None
        return Choice(counts, taken, FINEST, stored=True)

    def _settle(self, window: Window, choice: Choice, bits: int) -> None:
        debt = bits - self._left(window, False)
        self._granted = self._granted_after(window)
        self._spent += bits
        self._spent_by_all += self._expected(self._trellis.all(window))
        self._frames += window.frames
        share = min(window.frames / (_RETURN_SECONDS * self._budget.frame_rate), 1.0)
        index = float(choice.slope) if self._index is None else self._index
        index += share * (choice.slope - index)
        owed = debt / (self._budget.frame_bits * _RETURN_SECONDS * self._budget.frame_rate)
        index += share * _STEPS_A_FACTOR * owed
        self._index = min(max(index, float(FINEST)), float(COARSEST))

    def _takes_all(self, window: Window) -> bool:
        """Whether the target is so near to what all codebooks take that all are to be sent."""
        granted = self._left(window, False) + self._spent
        all_of_them = self._spent_by_all + self._expected(self._trellis.all(window))
        return _NEAR * granted <= all_of_them <= granted + self._slack(window, _DEBT_OF_ALL)

    def _granted_after(self, window: Window) -> float:
        return self._granted + self._budget.frame_bits * window.frames

    def _left(self, window: Window, final: bool) -> float:
        """Bits that the window may take to leave neither debt nor savings."""
        seconds = (self._frames + window.frames) / self._budget.frame_rate
        paid = 1.0 if final else min(seconds / _PAYING_SECONDS, 1.0)
        return self._granted_after(window) - self._budget.fixed_bits * paid - self._spent

    def _slack(self, window: Window, share: float) -> float:
        """Bits that debts or savings of a share may come to after the window."""
        budget = self._budget
        seconds = (self._frames + window.frames) / budget.frame_rate
        loan = max(_FIRST_LOAN * (1.0 - seconds / _PAYING_SECONDS), 0.0)
        most = min(share * seconds + loan, _MOST_SECONDS)
        return most * budget.frame_bits * budget.frame_rate
