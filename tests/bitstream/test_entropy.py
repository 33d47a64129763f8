"""Entropy coded payloads: codes come back exactly, cost what is said, and follow the format's description."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream.codes import Codes, codebooks_sent
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.payload import PayloadCoder
from codec.bitstream.rangecoder import range_encode
from codec.bitstream.tables import EntropyTables
from codec.errors import CodecError
from tests.bitstream.small_tables import random_tables
from tests.bitstream.test_payload import draw_codes

CODERS = {
    (codebooks, words): EntropyCoder(random_tables(codebooks, words, seed=words))
    for codebooks, words in [(1, 2), (3, 16), (4, 64), (2, 1024), (70, 4)]
}


def draw(rng: np.random.Generator, coder: EntropyCoder, channels: int, frames: int, n: str) -> Codes:
    codes = draw_codes(rng, channels, coder.num_codebooks, frames, 12, n)
    return np.where(codes >= 0, codes % coder.codebook_size, -1)


def layer(weight: np.ndarray, bias: np.ndarray, shift: int, x: list[int]) -> list[int]:
    rows = zip(weight.tolist(), bias.tolist(), strict=True)
    return [(sum(w * v for w, v in zip(row, x, strict=True)) + b) >> shift for row, b in rows]


def clip(x: list[int], low: int, high: int) -> list[int]:
    return [min(max(value, low), high) for value in x]


def interval(
    tables: EntropyTables, m: int, code: int, before: list[int], earlier: list[int]
) -> tuple[int, int]:
    """Start and size of a code as the format's description tells, in Python's integers."""
    shifts = tables.shifts.tolist()
    count = tables.num_codebooks
    x = clip(before, -1023, 1023)
    x = clip(layer(tables.past_in_weight, tables.past_in_bias, shifts[0], x), 0, 255)
    x = clip(layer(tables.past_out_weight, tables.past_out_bias, shifts[1], x), 0, 255)
    x += clip(earlier, -1023, 1023)
    x = clip(layer(tables.hidden_weight[m], tables.hidden_bias[m], shifts[2 + m], x), 0, 255)
    logits = layer(tables.node_weight[m], tables.node_bias[m], shifts[2 + count + m], x)
    node, words, start, size, leaf = 0, tables.codebook_size, 0, 65536, int(tables.leaves[m, code])
    while words > 1:
        chance = int(tables.left[min(max(logits[node], -1024), 1023) + 1024])
        left = words // 2 + ((size - words) * chance >> 16)
        words //= 2
        if leaf & words:
            node, start, size = 2 * node + 2, start + left, size - left
        else:
            node, size = 2 * node + 1, left
    return start, size


def described(tables: EntropyTables, codes: Codes, counts: bool) -> Iterator[tuple[int, int]]:
    """The intervals of a payload in their order."""
    channels, _, frames = codes.shape
    width = tables.features.shape[2]
    before = [[0] * width for _ in range(channels)]
    last = [tables.num_codebooks + 1] * channels
    n = codebooks_sent(codes)
    for frame in range(frames):
        for channel in range(channels):
            if counts:
                row = [*tables.counts[last[channel]].tolist(), 65536]
                last[channel] = int(n[channel, frame])
                yield row[last[channel]], row[last[channel] + 1] - row[last[channel]]
            earlier = [0] * width
            for m, code in enumerate(codes[channel, : n[channel, frame], frame].tolist()):
                yield interval(tables, m, code, before[channel], earlier)
                word = tables.features[m, code].tolist()
                earlier = [a + b for a, b in zip(earlier, word, strict=True)]
            before[channel] = earlier


def test_the_example_of_the_format_description() -> None:
    logits = (np.arange(2048) - 1023.5) / 128
    tables = EntropyTables(
        leaves=np.array([[0, 2, 1, 3]], np.uint16),
        features=np.array([[[-40], [10], [60], [100]]], np.int8),
        past_in_weight=np.array([[20]], np.int16),
        past_in_bias=np.array([100], np.int32),
        past_out_weight=np.array([[-12]], np.int16),
        past_out_bias=np.array([900], np.int32),
        hidden_weight=np.array([[[5, -2]]], np.int16),
        hidden_bias=np.array([[50]], np.int32),
        node_weight=np.array([[[9], [-7], [4]]], np.int8),
        node_bias=np.array([[-300, 200, -400]], np.int32),
        shifts=np.array([5, 2, 3, 1], np.uint8),
        left=np.round(65536 / (1 + np.exp(-logits))).astype(np.uint16),
        counts=np.array([[0, 57344], [0, 8192], [0, 32768]], np.uint16),
    )
    codes = np.array([[[2, 2, -1, -1, -1, 2, 2, 3]]])
    assert list(described(tables, codes, True))[:4] == [
        (32768, 32768),
        (2832, 61247),
        (8192, 57344),
        (12353, 39411),
    ]
    coder = PayloadCoder(1, 2, 8, 1, EntropyCoder(tables))
    assert coder.pack(codes).hex(" ") == "bf ae 0b"
    assert PayloadCoder(1, 2, 8, 1).pack(codes).hex(" ") == "3f d8 6d c0"
    np.testing.assert_array_equal(coder.unpack(bytes.fromhex("bf ae 0b")), codes)


@given(
    st.sampled_from(sorted(CODERS)),
    st.integers(1, 2),
    st.integers(1, 6),
    st.sampled_from(["all", "some", "any"]),
    st.integers(0, 2**32 - 1),
)
def test_bytes_are_those_of_the_description(
    key: tuple[int, int], channels: int, frames: int, n: str, seed: int
) -> None:
    coder = CODERS[key]
    codes = draw(np.random.default_rng(seed), coder, channels, frames, n)
    pairs = list(described(coder.tables, codes, n == "any"))
    data = coder.encode(codes, n == "any")
    assert data == range_encode([start for start, _ in pairs], [size for _, size in pairs])
    count = None if n == "any" else int(codebooks_sent(codes)[0, 0])
    back = coder.decode(data, codes.shape, count)
    assert back.dtype == np.int64
    np.testing.assert_array_equal(back, codes)


@given(
    st.sampled_from(sorted(CODERS)),
    st.integers(1, 3),
    st.integers(1, 30),
    st.sampled_from(["all", "none", "some", "any"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_payloads_come_back_and_are_never_longer_than_raw(
    key: tuple[int, int], channels: int, frames: int, n: str, likely: bool, seed: int
) -> None:
    coder, rng = CODERS[key], np.random.default_rng(seed)
    sizes = (*key[:1], key[1].bit_length() - 1, frames + 2, channels)
    codes = draw(rng, coder, channels, frames, n)
    if likely:  # what random bytes decode to is what the tables expect, so that coding pays
        counts = None if n == "any" else int(codebooks_sent(codes)[0, 0])
        codes = likely_codes(coder, rng, channels, frames, counts)
    packed, raw = PayloadCoder(*sizes, coder).pack(codes), PayloadCoder(*sizes).pack(codes)
    assert len(packed) <= len(raw)
    assert packed == raw or packed[0] == raw[0] | 0x80
    np.testing.assert_array_equal(PayloadCoder(*sizes, coder).unpack(packed), codes)
    assert PayloadCoder(*sizes, coder).pack(codes, stored=True) == raw
    np.testing.assert_array_equal(PayloadCoder(*sizes, coder).unpack(raw), codes)


def likely_codes(
    coder: EntropyCoder, rng: np.random.Generator, channels: int, frames: int, count: int | None
) -> Codes:
    """Codes drawn with the probabilities that the tables give them."""
    codes = np.full((channels, coder.num_codebooks, frames), -1)
    before = [coder.num_codebooks + 1] * channels
    for frame in range(frames):
        for channel in range(channels):
            row = coder.tables.counts[before[channel]].tolist()
            n = bisect_right(row, int(rng.integers(65536))) - 1 if count is None else count
            before[channel] = n
            for m in range(n):
                trial = np.repeat(codes[channel : channel + 1, :, : frame + 1], coder.codebook_size, axis=0)
                trial[:, m, frame] = np.arange(coder.codebook_size)
                price = coder.costs(trial)[:, m, frame] / 65536
                chances = 2.0**-price
                codes[channel, m, frame] = rng.choice(coder.codebook_size, p=chances / chances.sum())
    return codes


def test_the_costs_are_what_a_payload_takes(rng: np.random.Generator) -> None:
    coder = CODERS[4, 64]
    for n in ("all", "any"):
        codes = draw(rng, coder, 2, 50, n)
        counts = codebooks_sent(codes)
        costs = coder.costs(codes)
        assert costs.dtype == np.int64
        assert (costs[codes < 0] == 0).all()
        bits = costs.sum() / 65536
        if n == "any":
            first = coder.count_costs()[-1][counts[:, 0]]
            bits += (first.sum() + coder.count_costs()[counts[:, :-1], counts[:, 1:]].sum()) / 65536
        size = len(coder.encode(codes, n == "any"))
        assert bits / 8 - 1 <= size <= bits / 8 + 2


def test_the_costs_of_a_frame_depend_on_the_frame_before() -> None:
    coder = CODERS[4, 64]
    codes = draw(np.random.default_rng(1), coder, 1, 9, "any")
    codes[:, :2, 3] = 7
    whole = coder.costs(codes)
    np.testing.assert_array_equal(coder.costs(codes[:, :, 4:], codes[:, :, 3]), whole[:, :, 4:])
    assert (coder.costs(codes[:, :, 4:]) != whole[:, :, 4:]).any()
    np.testing.assert_array_equal(coder.costs(codes[:, :2]), whole[:, :2])


def test_probabilities_of_all_codes_sum_to_one_and_none_is_zero() -> None:
    coder = CODERS[3, 16]
    before = np.array([[3, 7, 10]])
    for m in range(3):
        codes = np.zeros((16, 3, 1), np.int64)
        codes[:, m, 0] = np.arange(16)
        price = coder.costs(codes, np.repeat(before, 16, axis=0))[:, m, 0] / 65536
        assert price.max() <= 16
        assert abs((2.0**-price).sum() - 1) < 1e-4


def test_long_payloads_are_coded_in_parts_that_know_of_each_other() -> None:
    coder = CODERS[70, 4]
    codes = draw(np.random.default_rng(2), coder, 2, 200, "any")
    data = coder.encode(codes, True)
    np.testing.assert_array_equal(coder.decode(data, codes.shape, None), codes)


@given(st.sampled_from(sorted(CODERS)), st.integers(1, 2), st.integers(1, 20), st.binary(max_size=40))
def test_any_bytes_are_codes_or_a_sentence(
    key: tuple[int, int], channels: int, frames: int, data: bytes
) -> None:
    coder = PayloadCoder(key[0], key[1].bit_length() - 1, frames, channels, CODERS[key])
    for first in (0xBF, 0x80 | min(key[0], 62)):
        try:
            codes = coder.unpack(bytes([first]) + data)
        except CodecError:
            continue
        assert -1 <= codes.min() <= codes.max() < key[1]
        codebooks_sent(codes)


def test_a_cut_payload_is_refused() -> None:
    coder = CODERS[4, 64]
    codes = draw(np.random.default_rng(3), coder, 1, 50, "all")
    data = coder.encode(codes, False)
    for cut in range(6, len(data), 7):
        with pytest.raises(CodecError, match="end before"):
            coder.decode(data[:-cut], codes.shape, 4)


def test_a_stream_may_have_fewer_codebooks_than_the_tables() -> None:
    rng, tables = np.random.default_rng(4), CODERS[4, 64]
    fewer = PayloadCoder(2, 6, 50, 1, tables)
    codes = draw(rng, tables, 1, 50, "any")
    few = codes[:, :2]
    np.testing.assert_array_equal(fewer.unpack(fewer.pack(few)), few)
    varies = bytes([0x80 | 63])
    np.testing.assert_array_equal(fewer.unpack(varies + tables.encode(few, True)), few)
    with pytest.raises(CodecError, match="more than the stream's 2 codebooks"):
        fewer.unpack(varies + tables.encode(codes, True))
    with pytest.raises(CodecError, match="3 codebooks where the stream has 2"):
        fewer.unpack(bytes([0x80 | 3]) + tables.encode(codes, False))


def test_tables_for_other_codebooks_are_refused() -> None:
    for sizes in ((4, 4), (3, 5), (3, 3)):
        with pytest.raises(CodecError, match="does not fit"):
            PayloadCoder(*sizes, 10, 1, CODERS[3, 16])
