"""Payloads decoded side by side come out as they do one by one, whatever is wrong with some of them."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import entropy
from codec.bitstream.codes import Codes
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.payload import PayloadCoder
from codec.errors import CodecError
from tests.bitstream.small_tables import random_tables
from tests.bitstream.test_payload import draw_codes

CODERS = {
    (codebooks, words): EntropyCoder(random_tables(codebooks, words, seed=words))
    for codebooks, words in [(1, 2), (3, 16), (4, 64), (2, 1024), (20, 4)]
}


def one_by_one(coder: PayloadCoder, payloads: Sequence[bytes]) -> list[Codes | CodecError]:
    found: list[Codes | CodecError] = []
    for payload in payloads:
        try:
            found.append(coder.unpack(payload))
        except CodecError as error:
            found.append(error)
    return found


def check(coder: PayloadCoder, payloads: Sequence[bytes]) -> list[Codes | CodecError]:
    results = coder.unpack_all(payloads)
    for result, expected in zip(results, one_by_one(coder, payloads), strict=True):
        if isinstance(expected, CodecError) or isinstance(result, CodecError):
            assert str(result) == str(expected)
        else:
            assert result.dtype == np.int64
            np.testing.assert_array_equal(result, expected)
    return results


def draw_payloads(rng: np.random.Generator, coder: PayloadCoder, count: int) -> list[bytes]:
    """Payloads of all kinds, coded whether that is shorter or not."""
    tables = coder._tables
    assert tables is not None
    payloads = []
    for _ in range(count):
        frames = int(rng.integers(1, coder.block_frames + 1))
        codes = draw_codes(rng, coder.channels, coder.num_codebooks, frames, coder.bits_per_code, "any")
        n = (codes >= 0).sum(axis=1)
        constant = n.min() == n.max()
        mode = 0x80 | (int(n.min()) if constant else 63)
        head = bytes([mode]) if frames == coder.block_frames else bytes([mode | 0x40]) + frames.to_bytes(2)
        payloads.append(head + tables.encode(codes, not constant))
    return payloads


def damage(rng: np.random.Generator, payload: bytes) -> bytes:
    kind = rng.integers(5)
    changed = bytearray(payload)
    if kind == 0:
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del changed[int(rng.integers(len(changed))) :]
    elif kind == 2:
        changed += rng.bytes(int(rng.integers(1, 4)))
    elif kind == 3:
        changed += bytes(1)
    else:
        changed = bytearray(payload[:1] + rng.bytes(len(payload) + 2))
    return bytes(changed)


@given(
    st.sampled_from(sorted(CODERS)),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(0, 20),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_they_come_out_as_one_by_one(
    key: tuple[int, int], channels: int, frames: int, count: int, damaged: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    coder = PayloadCoder(key[0], key[1].bit_length() - 1, frames, channels, CODERS[key])
    payloads = draw_payloads(rng, coder, count)
    check(coder, [damage(rng, each) if rng.random() < damaged else each for each in payloads])


def test_a_stream_of_fewer_codebooks_than_the_tables_have(rng: np.random.Generator) -> None:
    tables = CODERS[4, 64]
    payloads = draw_payloads(rng, PayloadCoder(4, 6, 9, 1, tables), 20)
    results = check(PayloadCoder(2, 6, 9, 1, tables), payloads)
    assert any(isinstance(result, CodecError) for result in results)
    assert any(not isinstance(result, CodecError) for result in results)


@pytest.mark.parametrize(("most", "at_once"), [(11, 1 << 20), (64, 12 * 9 * 4)])
def test_many_payloads_are_taken_in_parts(rng: np.random.Generator, most: int, at_once: int) -> None:
    coder = PayloadCoder(4, 6, 9, 1, CODERS[4, 64])
    payloads = draw_payloads(rng, coder, 40)
    with patch.object(entropy, "_MOST_LANES", most), patch.object(entropy, "_CODES_AT_ONCE", at_once):
        check(coder, payloads)


def test_raw_and_empty_payloads_may_lie_between(rng: np.random.Generator) -> None:
    coder = PayloadCoder(3, 4, 5, 2, CODERS[3, 16])
    raw = PayloadCoder(3, 4, 5, 2).pack(draw_codes(rng, 2, 3, 5, 4, "all"))
    payloads = draw_payloads(rng, coder, 12)
    results = check(coder, [payloads[0], raw, b"", *payloads[1:], raw[:1]])
    assert [isinstance(result, CodecError) for result in results] == [False] * 2 + [True] + [False] * 11 + [
        True
    ]
    assert all(isinstance(each, CodecError) for each in PayloadCoder(3, 4, 5, 2).unpack_all(payloads))
