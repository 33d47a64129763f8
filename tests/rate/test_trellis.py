"""The trellis: the best numbers of codebooks for a slope, and for a number of bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.rate.trellis import COARSEST, FINEST, Trellis
from codec.rate.window import COST_UNIT, Window

CODEBOOKS = 3


def _window(seed: int, channels: int, frames: int) -> Window:
    random = np.random.default_rng(seed)
    distortion = np.sort(random.random((channels, frames, CODEBOOKS + 1)), axis=2)[:, :, ::-1].copy()
    distortion[:, :, 0] = np.where(random.random((channels, frames)) < 0.7, np.inf, 0.5)
    costs = random.integers(1, 12, (channels, frames, CODEBOOKS)) * COST_UNIT
    bits = np.concatenate([np.zeros((channels, frames, 1), np.int64), costs.cumsum(axis=2)], axis=2)
    return Window(distortion, bits)


def _trellis(seed: int) -> Trellis:
    costs = np.random.default_rng(seed).integers(0, 6 * COST_UNIT, (CODEBOOKS + 2, CODEBOOKS + 1))
    return Trellis(costs)


def _costs(trellis: Trellis, window: Window, counts: np.ndarray) -> tuple[float, float]:
    """Distortion and bits of counts ``[C, F]``, added up one by one."""
    distortion = bits = 0.0
    for channel, row in enumerate(counts):
        for frame, n in enumerate(row):
            distortion += window.distortion[channel, frame, n]
            bits += window.bits[channel, frame, n]
            bits += trellis._first[n] if frame == 0 else trellis._change[n, row[frame - 1]]
    if (counts == counts[0, 0]).all():
        bits = window.bits[:, :, counts[0, 0]].sum()
    return distortion, bits / COST_UNIT


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    window, trellis = _window(seed, 1, 5), _trellis(seed)
    slopes = [-160, -96, -48, 0]
    for choice in trellis.choose(window, slopes):
        slope = 2.0 ** (choice.slope / 16)
        every = itertools.product(range(CODEBOOKS + 1), repeat=5)
        best = min(d + slope * b for d, b in (_costs(trellis, window, np.array([n])) for n in every))
        distortion, bits = _costs(trellis, window, choice.counts)
        assert bits == pytest.approx(choice.bits)
        assert distortion + slope * bits == pytest.approx(best)


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 30), st.floats(0, 400))
def test_what_is_to_be_spent_is_spent(seed: int, channels: int, frames: int, bits: float) -> None:
    window, trellis = _window(seed, channels, frames), _trellis(seed)
    choice = trellis.spend(window, bits)
    fewest = trellis.choose(window, [COARSEST])[0]
    assert _costs(trellis, window, choice.counts)[1] == pytest.approx(choice.bits)
    assert choice.bits <= max(bits, fewest.bits) + 1e-6
    # What can be missing: all codebooks of one frame, and, since one number for all is told for nothing, what
    # it takes to tell the numbers of all frames.
    everything = window.bits[:, :, -1].sum() / COST_UNIT
    if fewest.bits <= bits <= everything:
        assert choice.bits > bits - channels * CODEBOOKS * 12 - 6 * channels * (frames + 2)


def test_finer_slopes_take_more_bits_and_leave_less_error() -> None:
    window, trellis = _window(1, 2, 40), _trellis(1)
    choices = trellis.choose(window, list(range(FINEST, COARSEST, 40)))
    errors, bits = zip(*(_costs(trellis, window, choice.counts) for choice in choices), strict=True)
    assert list(bits) == sorted(bits, reverse=True)
    assert list(errors) == sorted(errors)


def test_silence_that_noise_can_stand_for_takes_no_codebook() -> None:
    distortion = np.tile([0.0, 1e-3, 1e-4, 1e-5], (1, 6, 1))
    distortion[:, :2, 0] = np.inf
    bits = np.tile(np.arange(4) * 10 * COST_UNIT, (1, 6, 1))
    choice = _trellis(0).choose(Window(distortion, bits), [FINEST])[0]
    assert choice.counts[0, 2:].tolist() == [0] * 4
    assert (choice.counts[0, :2] > 0).all()
