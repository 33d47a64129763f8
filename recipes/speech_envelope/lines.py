"""Quantized spectral lines: what decoder and encoder know of a frame before them, and the values themselves.

All that `prepare` finds follows from the decoded envelope and the frame's budget, so that both sides find the
same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recipes.speech_envelope.perceptual import HOP, coding_weights
from recipes.speech_envelope.tables import (
    DITHERS,
    NUM_DITHERS,
    NUM_STEPS,
    STEPS,
    STEPS_PER_OCTAVE,
    Array,
    Integers,
    LineTables,
    expected_bits,
)

_MULTIPLIERS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)


class Frames(NamedTuple):
    """What is known of F frames before their lines.

    ``deviations`` ``[F, 320]`` are square roots of the envelope. ``base`` ``[F, 320]`` tells by how many
    steps of the grid a line is quantized more coarsely than the finest of its frame, relative to its
    deviation: the perceptual weights. ``dithers`` ``[F, 320]`` are indices. ``predicted`` ``[F]`` is the step
    at which the lines take the budget if they are distributed as the model says.
    """

    deviations: Array
    base: Integers
    dithers: Integers
    predicted: Integers


class Values(NamedTuple):
    """Quantized lines ``[...]``: their ``places`` in the tables and, for those at a table's end, how far
    ``beyond`` it the value lies. ``escaped`` tells which lie at an end."""

    places: Integers
    beyond: Integers
    escaped: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def prepare(power: Array, budget: float, tables: LineTables) -> Frames:
    """What follows from power envelopes ``[F, 320]`` and the bits for the lines of a frame."""
    deviations = np.sqrt(power)
    # Noise follows the inverse of the weights; a step is relative to the line's deviation.
    relative = -STEPS_PER_OCTAVE * np.log2(coding_weights(power) * deviations)
    base = np.rint(relative - relative.min(axis=1, keepdims=True)).astype(np.int64)
    base = np.minimum(base, NUM_STEPS - 1)
    too_fine = expected_bits(tables.expected, base) > budget
    predicted = np.minimum(too_fine.sum(axis=1), NUM_STEPS - 1)
    return Frames(deviations, base, _dither_indices(len(power)), predicted)


def _dither_indices(count: int) -> Integers:
    """Dithers ``[count, 320]``: a hash of a line's place in the file, alike on all machines."""
    state = np.arange(1, count * HOP + 1, dtype=np.uint64)
    for multiplier in _MULTIPLIERS:
        state = (state * np.uint64(multiplier)) & np.uint64(0xFFFFFFFF)
        state ^= state >> np.uint64(15)
    return (state % np.uint64(NUM_DITHERS)).astype(np.int64).reshape(count, HOP)


def steps_of(base: Integers, step: int | Integers) -> Integers:
    """The steps of lines in a frame that is quantized at ``step``."""
    return np.minimum(base + step, NUM_STEPS - 1)


def quantize(scaled: Array, steps: Integers, dithers: Integers, tables: LineTables) -> Values:
    """Quantize lines over their deviations ``[...]`` with steps and dithers of the same shape."""
    values = np.rint(scaled / STEPS[steps] + DITHERS[dithers]).astype(np.int64)
    limits = tables.limits[steps]
    held = np.clip(values, -limits, limits)
    return Values(tables.origins[steps, dithers] + held, np.abs(values - held), np.abs(held) == limits)


def cost(values: Values, tables: LineTables) -> float:
    """The bits that quantized lines take, escapes included."""
    total = float(tables.costs[values.places].sum())
    if values.escaped.any():
        total += float(escape_bits(values.beyond[values.escaped]).sum())
    return total


def escape_bits(beyond: Integers) -> Integers:
    """Lengths of the Exp-Golomb codes of numbers from 0 on."""
    return 2 * np.floor(np.log2(beyond + 1)).astype(np.int64) + 1


def dequantize(values: Values, steps: Integers, dithers: Integers, tables: LineTables) -> Array:
    """Lines over their deviations: the mean of the distribution within the cell."""
    found = tables.values[values.places]
    sign = np.sign(values.places - tables.origins[steps, dithers])
    return np.where(values.escaped, found + sign * values.beyond * STEPS[steps], found)
