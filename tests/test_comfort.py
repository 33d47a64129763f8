"""Comfort noise: which codes stand in for frames that were not sent."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.comfort import SOURCES, ComfortNoise

Codes = NDArray[np.int64]


def _codes(sent: list[bool], channels: int = 1, seed: int = 0) -> Codes:
    codes = np.random.default_rng(seed).integers(0, 1000, (channels, 3, len(sent)))
    codes[:, 2, ::2] = -1
    codes[:, :, ~np.array(sent, bool)] = -1
    return codes


def test_what_was_sent_stays_and_the_rest_comes_from_the_last_frames_sent() -> None:
    sent = [True] * 6 + [False] * 40 + [True, True] + [False] * 40
    codes = _codes(sent, channels=2)
    filled = ComfortNoise().fill(codes, 0)
    assert np.array_equal(filled[:, :, sent], codes[:, :, sent])
    for channel in range(2):
        for frame in np.flatnonzero(~np.array(sent)):
            before = [f for f in range(frame) if sent[f]][-SOURCES:]
            assert any(np.array_equal(filled[channel, :, frame], codes[channel, :, f]) for f in before)
    first = {tuple(column) for column in filled[0, :, 6:46].T}
    assert len(first) == SOURCES, "40 draws of 4 should meet all"
    # The sources reach back over the silence between.
    assert {tuple(column) for column in filled[0, :, 48:].T} == {
        tuple(codes[0, :, f]) for f in (4, 5, 46, 47)
    }


@given(st.lists(st.booleans(), max_size=40), st.lists(st.integers(0, 40), max_size=5), st.integers(0, 10**12))
def test_any_cutting_gives_the_same_noise(sent: list[bool], cuts: list[int], position: int) -> None:
    codes = _codes(sent, channels=3)
    whole = ComfortNoise().fill(codes, position)
    noise, parts, at = ComfortNoise(), [], position
    for part in np.split(codes, sorted(min(cut, len(sent)) for cut in cuts), axis=2):
        parts.append(noise.fill(part, at))
        at += part.shape[2]
    assert np.array_equal(np.concatenate(parts, axis=2), whole)


def test_blocks_are_independent_and_draw_by_position() -> None:
    codes = _codes([True] * 4 + [False] * 20)
    noise = ComfortNoise()
    noise.fill(_codes([True] * 9, seed=1), 0)
    noise.reset()
    again = noise.fill(codes, 100)
    assert np.array_equal(again, ComfortNoise().fill(codes, 100))
    assert not np.array_equal(again, ComfortNoise().fill(codes, 101))


def test_the_draw_is_the_documented_one() -> None:
    codes = np.arange(4).reshape(1, 1, 4)
    silence = np.full((1, 1, 12), -1)
    filled = ComfortNoise().fill(np.concatenate([codes, silence], axis=2), 1 << 32)

    def draw(number: int) -> int:
        x = number & 0xFFFFFFFF
        x = ((x ^ x >> 16) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ x >> 15) * 0x846CA68B) & 0xFFFFFFFF
        return 3 - (x ^ x >> 16) % 4

    assert filled[0, 0, 4:].tolist() == [draw((1 << 32) + frame) for frame in range(4, 16)]


def test_silence_without_a_source_stays_silence() -> None:
    codes = _codes([False, False, True])
    assert np.array_equal(ComfortNoise().fill(codes, 0), codes)
    nothing = np.zeros((1, 0, 5), np.int64)
    assert ComfortNoise().fill(nothing, 0).shape == (1, 0, 5)
