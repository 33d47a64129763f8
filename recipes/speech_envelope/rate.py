"""The rate loop: for each frame the finest step whose lines fit into its bits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from codec.bitstream.rangecoder import TOTAL
from codec.bitstream.tables import starts_of
from recipes.speech_envelope.lines import Frames, Values, cost, quantize, steps_of
from recipes.speech_envelope.tables import NUM_STEPS, Array, Integers, LineTables

# Half-life, in steps of the grid, of the probability of a step by its distance from the predicted one.
_HALF_LIFE = 4.0
_STRIDE = 4


def _correction_sizes() -> Integers:
    """Frequencies of a step minus the predicted one, from 1 - NUM_STEPS to NUM_STEPS - 1."""
    shares = 0.5 ** (np.abs(np.arange(1 - NUM_STEPS, NUM_STEPS)) / _HALF_LIFE)
    sizes = 1 + np.floor(shares / shares.sum() * (TOTAL - len(shares))).astype(np.int64)
    sizes[NUM_STEPS - 1] += TOTAL - sizes.sum()
    return sizes


CORRECTION_SIZES: Integers = _correction_sizes()
CORRECTION_STARTS: Integers = starts_of(CORRECTION_SIZES).astype(np.int64)
_CORRECTION_COSTS: Array = np.log2(TOTAL / CORRECTION_SIZES)


class CodedFrame(NamedTuple):
    """One frame's ``correction`` of the predicted step, as an index from 0 on, and its quantized lines."""

    correction: int
    values: Values


def allot(lines: Array, frames: Frames, budget: float, tables: LineTables) -> Iterator[CodedFrame]:
    """Quantize lines ``[F, 320]`` so that each frame takes ``budget`` bits, its correction included.

    Bits that a frame leaves go to the next, at most one budget of them; a frame that cannot do with its bits
    takes the coarsest step, and those after it make up for that.
    """
    saved = 0.0
    for line, deviation, base, dither, predicted in zip(lines, *frames, strict=True):
        at = functools.partial(_coded, line / deviation, base, dither, int(predicted), tables)
        bits, coded = _finest(at, int(predicted), budget + saved)
        saved = min(saved + budget - bits, budget)
        yield coded


def _coded(
    scaled: Array, base: Integers, dither: Integers, predicted: int, tables: LineTables, step: int
) -> tuple[float, CodedFrame]:
    """One frame's lines over their deviations ``[320]`` at a step, and the bits that they take."""
    values = quantize(scaled, steps_of(base, step), dither, tables)
    correction = step - predicted + NUM_STEPS - 1
    return cost(values, tables) + float(_CORRECTION_COSTS[correction]), CodedFrame(correction, values)


def _finest(
    at: Callable[[int], tuple[float, CodedFrame]], start: int, allowed: float
) -> tuple[float, CodedFrame]:
    """What ``at`` gives for the finest step whose bits are allowed, else for the coarsest.

    Bits fall with the step, but for small bumps: the step is searched for around ``start``.
    """
    fine, coarse = start, start
    found = best = at(start)
    while best[0] > allowed and coarse < NUM_STEPS - 1:
        fine, coarse = coarse, min(coarse + _STRIDE, NUM_STEPS - 1)
        best = at(coarse)
    while found[0] <= allowed and fine > 0:
        coarse, best = fine, found
        fine = max(fine - _STRIDE, 0)
        found = at(fine)
    if found[0] <= allowed:
        return found
    while coarse - fine > 1:
        middle = (fine + coarse) // 2
        found = at(middle)
        if found[0] <= allowed:
            coarse, best = middle, found
        else:
            fine = middle
    return best
