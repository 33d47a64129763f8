"""`codec.resample`: exact length and time, the same bits however it is cut, what the filter lets through."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.errors import UsageError
from codec.resample import Resampler

# Down, up, by ratios of small and of large numbers, and rates with no common divisor.
PAIRS = [
    (48000, 16000),
    (44100, 16000),
    (16000, 48000),
    (16000, 44100),
    (8000, 16000),
    (16000, 8000),
    (22050, 24000),
    (192000, 16000),
    (16000, 191999),
    (44101, 16000),
]


def resample(pcm: np.ndarray, in_rate: int, out_rate: int, cuts: list[int] | None = None) -> np.ndarray:
    """The whole signal, pushed in pieces that end at `cuts`."""
    resampler = Resampler(in_rate, out_rate, pcm.shape[1])
    parts = [resampler.push(piece) for piece in np.split(pcm, cuts or [])]
    return np.concatenate([*parts, resampler.flush()])


def tone(frequency: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    time_axis = np.arange(round(rate * seconds)) / rate
    return np.sin(2 * np.pi * frequency * time_axis).astype(np.float32)[:, None]


def middle(pcm: np.ndarray) -> np.ndarray:
    """Without the ends, where the silence around the signal shows."""
    return pcm[len(pcm) // 5 : -len(pcm) // 5]


@given(
    pair=st.sampled_from(PAIRS),
    length=st.integers(0, 3000),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_cutting_the_input_changes_no_bit(
    pair: tuple[int, int], length: int, cuts: list[int], seed: int
) -> None:
    pcm = np.random.default_rng(seed).standard_normal((length, 2)).astype(np.float32)
    assert np.array_equal(resample(pcm, *pair, sorted(cuts)), resample(pcm, *pair))


@pytest.mark.parametrize("pair", PAIRS)
def test_single_samples_change_no_bit(pair: tuple[int, int], rng: np.random.Generator) -> None:
    pcm = rng.standard_normal((2000, 1)).astype(np.float32)
    assert np.array_equal(resample(pcm, *pair, list(range(1, 2000))), resample(pcm, *pair))


def test_pieces_longer_than_an_inner_block_change_no_bit(rng: np.random.Generator) -> None:
    pcm = rng.standard_normal((60_000, 1)).astype(np.float32)
    assert np.array_equal(resample(pcm, 48000, 16000, [1, 50_001]), resample(pcm, 48000, 16000))


@given(pair=st.sampled_from(PAIRS), length=st.integers(0, 4000))
def test_length_is_exact(pair: tuple[int, int], length: int) -> None:
    in_rate, out_rate = pair
    out = resample(np.zeros((length, 1), np.float32), in_rate, out_rate)
    assert out.shape == (-(-length * out_rate // in_rate), 1)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_passed_tone_comes_out_where_it_was(pair: tuple[int, int]) -> None:
    """The same tone sampled at the other rate: amplitude, phase and time all have to agree."""
    in_rate, out_rate = pair
    for fraction in (0.01, 0.3, 0.6, 0.9):
        frequency = fraction * min(pair) / 2
        error = middle(resample(tone(frequency, in_rate), *pair)) - middle(tone(frequency, out_rate))
        assert np.abs(error).max() < 2e-3, frequency


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_80_db_down(pair: tuple[int, int]) -> None:
    in_rate, out_rate = pair
    for frequency in np.linspace(out_rate / 2, in_rate / 2 * 0.999, 9):
        alias = middle(resample(tone(frequency, in_rate), *pair))
        level = 20 * np.log10(np.abs(alias).max() + 1e-12)
        assert level < -80, f"{frequency:.0f} Hz at {level:.1f} dB"


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] < pair[1]])
def test_images_are_80_db_down(pair: tuple[int, int]) -> None:
    in_rate, out_rate = pair
    for fraction in (0.1, 0.5, 0.9):
        out = middle(resample(tone(fraction * in_rate / 2, in_rate), *pair))[:, 0]
        spectrum = np.abs(np.fft.rfft(out * np.kaiser(len(out), 20)))
        above = np.fft.rfftfreq(len(out), 1 / out_rate) > in_rate / 2 * 1.01
        assert 20 * np.log10(spectrum[above].max() / spectrum.max()) < -80


def test_a_constant_stays_the_same_everywhere() -> None:
    out = middle(resample(np.ones((20_000, 1), np.float32), 44100, 16000))
    assert np.abs(out - 1).max() < 1e-6


def test_channels_do_not_mix(rng: np.random.Generator) -> None:
    pcm = rng.standard_normal((3000, 8)).astype(np.float32)
    together = resample(pcm, 44100, 16000)
    for channel in range(8):
        assert np.array_equal(together[:, [channel]], resample(pcm[:, [channel]], 44100, 16000))


def test_equal_rates_pass_through(rng: np.random.Generator) -> None:
    pcm = rng.standard_normal((100, 3)).astype(np.float32)
    resampler = Resampler(16000, 16000, 3)
    assert np.array_equal(resampler.push(pcm), pcm)
    assert resampler.flush().shape == (0, 3)
    assert resampler.delay == 0


@pytest.mark.parametrize("pair", PAIRS)
def test_delay_is_what_a_live_stream_waits(pair: tuple[int, int]) -> None:
    """Of one second pushed, what lies further back than the delay has come out."""
    in_rate, out_rate = pair
    resampler = Resampler(*pair, 1)
    out = resampler.push(np.zeros((in_rate, 1), np.float32))
    missing = 1 - len(out) / out_rate
    assert abs(missing - resampler.delay) <= 1 / out_rate + 1 / in_rate
    assert resampler.delay < 0.01


def test_memory_does_not_grow() -> None:
    resampler = Resampler(48000, 16000, 1)
    for _ in range(200):
        resampler.push(np.zeros((4800, 1), np.float32))
    held = sum(value.nbytes for value in vars(resampler).values() if isinstance(value, np.ndarray))
    assert held < 20_000


@pytest.mark.parametrize("pair", [(7999, 16000), (16000, 192_001), (0, 16000), (16000, -1), (2**31, 16000)])
def test_rates_out_of_range_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="8000 to 192000"):
        Resampler(*pair, 1)


def test_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[n, 2\]"):
        Resampler(48000, 16000, 2).push(np.zeros((10, 1), np.float32))


def test_much_faster_than_real_time() -> None:
    """A fifth of the goal of 50 times, since other work may share the processor."""
    pcm = np.zeros((10 * 48000, 1), np.float32)
    resample(pcm[:48000], 48000, 16000)
    start = time.process_time()
    resample(pcm, 48000, 16000, list(range(0, len(pcm), 65536)))
    assert time.process_time() - start < 1.0
