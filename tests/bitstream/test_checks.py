"""The two checks that are our own: the 8-bit checksum and the hash of all codes."""

from __future__ import annotations

import copy
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import Codes, CodesHash
from codec.bitstream.crc8 import crc8, salted_crc8
from codec.errors import UsageError


def some_codes(seed: int, frames: int) -> Codes:
    """Codes [2, 3, F] of which every frame of a channel sends the first few."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << 16, (2, 3, frames))
    return np.where(np.arange(3)[:, None] < rng.integers(0, 4, (2, 1, frames)), codes, -1)


def test_the_crc_is_the_documented_one() -> None:
    assert crc8(b"123456789") == 0xF4
    assert crc8(b"6789", crc8(b"12345")) == 0xF4
    assert salted_crc8(b"56789", int.from_bytes(b"1234")) == 0xF4


@given(st.binary(min_size=1, max_size=60), st.integers(0, 8 * 60 - 1), st.integers(1, 255))
def test_the_crc_finds_every_short_burst(data: bytes, start: int, burst: int) -> None:
    number = int.from_bytes(data)
    start %= 8 * len(data)
    damaged = number ^ (burst << start) % (1 << 8 * len(data))
    assert crc8(damaged.to_bytes(len(data))) != crc8(data) or damaged == number


def test_the_hash_is_the_documented_one() -> None:
    codes = some_codes(0, 50)
    words = []
    for frame in range(50):
        for channel in range(2):
            sent = [int(code) for code in codes[channel, :, frame] if code >= 0]
            words += [len(sent), *sent]
    mine = CodesHash()
    mine.update(codes)
    assert mine.digest() == hashlib.sha256(struct.pack(f">{len(words)}H", *words)).digest()[:8]
    assert CodesHash().digest() == hashlib.sha256().digest()[:8]


@given(st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_the_hash_does_not_depend_on_blocks_or_unused_codebooks(cut: int, seed: int) -> None:
    codes = some_codes(seed, 20)
    whole, parts = CodesHash(), CodesHash()
    whole.update(codes)
    parts.update(codes[:, :, :cut])
    twin = copy.deepcopy(parts)
    padded = np.concatenate([codes, np.full((2, 2, 20), -1)], axis=1)
    for each in (parts, twin):
        each.update(padded[:, :, cut:])
        assert each.digest() == whole.digest()


def test_codes_that_differ_hash_differently() -> None:
    codes = some_codes(0, 20)
    codes[1, 0, 7] = 5
    other = codes.copy()
    other[1, 0, 7] = 6
    digests = set()
    for each in (codes, other, codes[:, :, :19], codes[:1], codes[:, :0], codes[:, :, ::-1]):
        mine = CodesHash()
        mine.update(each)
        digests.add(mine.digest())
    assert len(digests) == 6


@pytest.mark.parametrize("codes", [np.zeros((1, 2), int), np.full((1, 1, 1), 65536), np.array([[[-1], [3]]])])
def test_what_are_no_codes_is_refused(codes: Codes) -> None:
    with pytest.raises(UsageError):
        CodesHash().update(codes)
