"""Direct current on its way into the codec: gone at once, however it is cut, and nothing else with it."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec import Codec
from codec.dc_blocker import DcBlocker
from codec.streaming import StreamEncoder
from tests.small_model import small_model

Pcm = NDArray[np.float32]

CODEC = Codec(small_model())
RATE = 16_000


def _tone(hertz: float, seconds: float = 1.0) -> Pcm:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)[:, None]


def _blocked(pcm: Pcm, cuts: list[int] | None = None) -> Pcm:
    blocker = DcBlocker(RATE, pcm.shape[1])
    return np.concatenate([blocker.push(part) for part in np.split(pcm, cuts or [])])


@given(st.lists(st.integers(0, 5000), max_size=30).map(sorted), st.sampled_from([1e-6, 0.1, 1.0, 9e5]))
def test_no_cutting_changes_a_bit(cuts: list[int], scale: float) -> None:
    noise = np.random.default_rng(1).standard_normal((5000, 2)) + np.array([0.5, -3.0])
    pcm = (scale * np.tanh(noise)).astype(np.float32)
    assert np.array_equal(_blocked(pcm, cuts), _blocked(pcm))


def test_single_samples_give_the_same_bits() -> None:
    pcm = _tone(90.0, 0.5) + np.float32(0.25)
    assert np.array_equal(_blocked(pcm, list(range(1, len(pcm)))), _blocked(pcm))


def test_long_and_loud_sound_does_not_overflow() -> None:
    """A minute at the loudest that is taken: the running sum alone would leave 64 bits."""
    pcm = np.full((60 * RATE, 1), 9e5, np.float32)
    assert not _blocked(pcm).any()


@pytest.mark.parametrize("level", [0.5, -1.0, 1e-4])
def test_a_constant_is_gone_at_once(level: float) -> None:
    constant = np.full((RATE, 1), level, np.float32)
    assert np.abs(_blocked(constant)).max() < 1e-7
    stepped = _blocked(np.concatenate([np.zeros_like(constant), constant]))
    assert stepped[RATE] == pytest.approx(level, rel=1e-3)
    assert np.abs(stepped[RATE + 3200 :]).max() < 1e-7


@pytest.mark.parametrize("hertz", [50.0, 60.0, 83.0, 440.0, 7000.0])
def test_sound_stays_as_it_is(hertz: float) -> None:
    tone = _tone(hertz)
    after = slice(3200, None)
    assert np.abs(_blocked(tone)[after] - tone[after]).max() < 0.03
    assert np.abs(_blocked(tone + np.float32(0.4))[after] - _blocked(tone)[after]).max() < 1e-5


def test_silence_stays_digital_and_nothing_may_be_pushed() -> None:
    assert not _blocked(np.zeros((5000, 3), np.float32)).any()
    assert DcBlocker(RATE, 3).push(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_a_constant_codes_as_silence() -> None:
    silence = np.zeros(RATE + 7, np.float32)
    for level in (0.5, -1.0):
        assert np.array_equal(CODEC.tokens(silence + np.float32(level), RATE), CODEC.tokens(silence, RATE))


def test_files_and_tokens_lose_it_alike() -> None:
    pcm = 0.2 * _tone(300.0, 1.3) + np.float32(0.3)
    audio, _ = CODEC.decode(CODEC.encode(pcm, RATE, num_codebooks=4))
    assert np.array_equal(CODEC.from_tokens(CODEC.tokens(pcm[:, 0], RATE), len(pcm)), audio)


def test_a_copied_encoder_goes_on_alike() -> None:
    pcm = 0.2 * _tone(300.0) + np.float32(0.3)
    encoder = StreamEncoder(CODEC.model, RATE, num_codebooks=2, packet_ms=20)
    start = encoder.push(pcm[:7001])
    twin = copy.deepcopy(encoder)
    ends = [each.push(pcm[7001:]) + each.flush() for each in (encoder, twin)]
    assert ends[0] == ends[1]
    whole = StreamEncoder(CODEC.model, RATE, num_codebooks=2, packet_ms=20)
    assert list(itertools.chain(start, ends[0])) == whole.push(pcm) + whole.flush()
