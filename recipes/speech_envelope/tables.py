"""Integer tables for quantized spectral lines: how probable each value is, what it costs, what it decodes to.

A line of standard deviation one is quantized with a step r and a dither d: q = round(z / r + d). Steps lie
on a grid of 1/8 octave, dithers on one of 16 offsets, so that the mixture's distribution becomes a small
number of tables. Their frequencies are rounded to integers once, from the mixture's parameters, by the same
function for encoder and decoder.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.rangecoder import TOTAL

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

STEPS_PER_OCTAVE = 8
NUM_STEPS = 18 * STEPS_PER_OCTAVE
NUM_DITHERS = 16
# The finest step, as a power of two of a line's standard deviation.
_FINEST = -6.0
# Values beyond this one, or beyond these standard deviations, share one escape on each side.
_MAX_VALUE = 48
_TAIL = 16.0
_COST_UNIT = 256

STEPS: Array = 2.0 ** (_FINEST + np.arange(NUM_STEPS) / STEPS_PER_OCTAVE)
DITHERS: Array = (np.arange(NUM_DITHERS) + 0.5) / NUM_DITHERS - 0.5


class LineTables:
    """The tables of all steps and dithers one after the other, as flat arrays.

    Attributes:
        limits: ``[steps]``, the escape's value L of each step: its tables hold -L to L.
        origins: ``[steps, dithers]``, where the value zero lies in the flat arrays.
        starts, sizes: cumulative and single frequencies, in 1 / 2**16.
        costs: in bits.
        values: what decodes, the mean of the mixture within the cell.
        expected: ``[steps]`` int, the mean cost of a line, in 1/256 bit, never rising with the step.
    """

    def __init__(self, shares: Array, scales: Array) -> None:
        """Make the tables of a mixture with weights ``shares`` and ``scales``, both ``[components]``."""
        self.limits = np.minimum(_MAX_VALUE, np.ceil(_TAIL / STEPS) + 1).astype(np.int64)
        counts = 2 * self.limits + 1
        first = np.concatenate([[0], np.cumsum(NUM_DITHERS * counts)[:-1]])
        self.origins: Integers = (
            first[:, None] + np.arange(NUM_DITHERS) * counts[:, None] + self.limits[:, None]
        )
        sizes, values, expected = [], [], []
        for step, limit in zip(STEPS, self.limits, strict=True):
            cells = _edges(step, int(limit))
            distribution = _below(cells, shares, scales)
            found = _integer_sizes(np.diff(distribution, axis=1))
            sizes.append(found)
            values.append(_means(cells, step, int(limit), shares, scales))
            share = found / TOTAL
            expected.append(-(share * np.log2(share)).sum(axis=1).mean())
        self.sizes: Integers = np.concatenate([each.ravel() for each in sizes])
        self.starts: Integers = np.concatenate([(np.cumsum(each, axis=1) - each).ravel() for each in sizes])
        self.values: Array = np.concatenate([each.ravel() for each in values])
        self.costs: Array = math.log2(TOTAL) - np.log2(self.sizes)
        falling = np.minimum.accumulate(np.array(expected))
        self.expected: Integers = np.rint(_COST_UNIT * falling).astype(np.int64)


def expected_bits(expected: Integers, base: Integers) -> Array:
    """Mean bits ``[F, steps]`` of frames at each step, with ``base`` ``[F, 320]`` steps added line by line.

    The sums are of integers, so that encoder and decoder agree on them to the bit.
    """
    later = np.minimum(np.arange(NUM_STEPS)[:, None] + np.arange(NUM_STEPS), NUM_STEPS - 1)
    counts = np.stack([np.bincount(row, minlength=NUM_STEPS) for row in base])
    return (counts @ expected[later]) / _COST_UNIT


def _edges(step: float, limit: int) -> Array:
    """Edges of the cells ``[dithers, 2 limit + 2]``, the outermost infinite."""
    inner = (np.arange(-limit, limit) + 0.5 - DITHERS[:, None]) * step
    ends = np.full((NUM_DITHERS, 1), np.inf)
    return np.concatenate([-ends, inner, ends], axis=1)


def _below(x: Array, shares: Array, scales: Array) -> Array:
    """The mixture's cumulative distribution at x ``[...]``."""
    tails = np.exp(-np.abs(x)[..., None] / scales)
    lower = (shares * tails / (1.0 + tails)).sum(axis=-1)
    return np.where(x > 0, 1.0 - lower, lower)


def _integer_sizes(shares: Array) -> Integers:
    """Integers of at least 1 that sum to 2**16, near shares ``[dithers, n]``; the largest takes the rest."""
    free = TOTAL - shares.shape[1]
    sizes = 1 + np.floor(shares * free).astype(np.int64)
    rows = np.arange(len(sizes))
    sizes[rows, sizes.argmax(axis=1)] += TOTAL - sizes.sum(axis=1)
    return sizes


def _means(cells: Array, step: float, limit: int, shares: Array, scales: Array) -> Array:
    """Means of the mixture within cells ``[dithers, 2 limit + 2]``, an escape's as wide as the others.

    The integral of x f(x) is an even function: minus x times the tail beyond x, minus the integral of that
    tail, which is a logistic distribution's scale times softplus(-x / scale). Where the mixture tells
    nothing, a line is louder than its envelope: there all orders of magnitude are alike, and the mean is the
    logarithmic one of the edges.
    """
    edges = np.clip(cells, cells[:, 1:2] - step, cells[:, -2:-1] + step)
    away = np.abs(edges)
    rest = (shares * scales * np.logaddexp(0.0, -away[..., None] / scales)).sum(axis=-1)
    moment = np.diff(-away * _below(-away, shares, scales) - rest, axis=1)
    mass = np.diff(_below(edges, shares, scales), axis=1)
    known = mass > 1e-9
    low, high = away[:, :-1], away[:, 1:]
    signs = np.sign(np.arange(-limit, limit + 1))
    # The cell round zero has its mass always, so that its logarithm is not needed.
    loud = (high - low) / np.log(np.where(signs == 0, 2.0, high / low))
    return np.where(known, moment / np.where(known, mass, 1.0), signs * np.abs(loud))
