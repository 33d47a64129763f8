"""The range coder on tables of any kind: what goes in comes out, in the bytes that it is worth."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream.rangecoder import TOTAL, RangeDecoder, range_encode
from codec.errors import CodecError


@st.composite
def tables(draw: st.DrawFn) -> list[int]:
    """Sums of frequencies of a table of 1 to 40 symbols, from even to extreme."""
    cuts = draw(st.sets(st.integers(1, TOTAL - 1) | st.integers(1, 40) | st.integers(TOTAL - 40, TOTAL - 1)))
    return [0, *sorted(cuts)]


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """Tables one after the other with their bounds, and for each symbol an index."""
    parts = draw(st.lists(tables(), min_size=1, max_size=4))
    starts = [start for part in parts for start in part]
    bounds = [0, *itertools.accumulate(len(part) for part in parts)]
    return starts, bounds, draw(st.lists(st.integers(0, len(starts) - 1), max_size=200))


def place(starts: list[int], bounds: list[int], index: int) -> tuple[int, int, int]:
    """First and last of the table that holds an index, and its symbol's frequency."""
    turn = max(turn for turn, bound in enumerate(bounds) if bound <= index)
    end = starts[index + 1] if index + 1 < bounds[turn + 1] else TOTAL
    return bounds[turn], bounds[turn + 1], end - starts[index]


def decode(data: bytes, starts: list[int], where: list[tuple[int, int, int]]) -> list[int]:
    decoder = RangeDecoder(data)
    symbols = [decoder.decode(starts, first, last) for first, last, _ in where]
    decoder.finish()
    return symbols


@given(messages())
def test_any_message_comes_back_in_the_bytes_it_is_worth(
    message: tuple[list[int], list[int], list[int]],
) -> None:
    starts, bounds, symbols = message
    where = [place(starts, bounds, index) for index in symbols]
    sizes = [size for _, _, size in where]
    data = range_encode([starts[index] for index in symbols], sizes)
    assert decode(data, starts, where) == symbols
    bits = sum(math.log2(TOTAL / size) for size in sizes)
    assert len(data) <= math.ceil((bits + 0.0057 * len(sizes) + 1e-6) / 8)


@given(messages())
def test_the_bytes_are_a_number_in_the_last_interval(
    message: tuple[list[int], list[int], list[int]],
) -> None:
    starts, bounds, symbols = message
    sizes = [place(starts, bounds, index)[2] for index in symbols]
    low, width, scale = Fraction(0), 2**32 - 1, Fraction(1, 2**32)
    for index, size in zip(symbols, sizes, strict=True):
        unit = width >> 16
        low, width = low + unit * starts[index] * scale, unit * size
        while width < 2**24:
            width, scale = width << 8, scale / 256
    data = range_encode([starts[index] for index in symbols], sizes)
    value = Fraction(int.from_bytes(data), 256 ** len(data))
    assert low <= value < low + width * scale


def described(starts: list[int], sizes: list[int]) -> bytes:
    """The bytes as the format's description makes them, step by step."""
    out, low, width = 0, 0, 2**32 - 1
    length = 0
    for start, size in zip(starts, sizes, strict=True):
        unit = width // 65536
        low, width = low + unit * start, unit * size
        while width < 2**24:
            out, low = out + (low >> 32), low % 2**32
            out, low, length = out * 256 + (low >> 24), low * 256 % 2**32, length + 1
            width *= 256
    out, low = out + (low >> 32), low % 2**32
    if low + width > 2**32:
        return (out + 1).to_bytes(length)
    return out.to_bytes(length) + (bytes([(low + 2**24 - 1) >> 24]) if low else b"")


@given(messages())
def test_the_bytes_are_those_of_the_description(message: tuple[list[int], list[int], list[int]]) -> None:
    starts, bounds, symbols = message
    sizes = [place(starts, bounds, index)[2] for index in symbols]
    chosen = [starts[index] for index in symbols]
    assert range_encode(chosen, sizes) == described(chosen, sizes)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 1000, 65535, 65536]))
def test_long_messages_of_likely_and_unlikely_symbols_are_those_of_the_description(
    seed: int, most: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.where(rng.random(2000) < rng.random(), TOTAL - rng.integers(1, 9, 2000), 1)
    sizes = np.minimum(sizes, most)
    starts = np.where(rng.random(2000) < rng.random(), TOTAL - sizes, rng.integers(0, TOTAL - sizes + 1))
    assert range_encode(starts, sizes) == described(starts.tolist(), sizes.tolist())


def test_a_carry_runs_through_bytes_of_255() -> None:
    # Symbols whose intervals hold a number a little above one half: their lower ends lie below it, so that
    # 7F FF FF .. is out before the last symbols tell that it becomes 80 00 00 ..
    starts = list(range(0, TOTAL, 1000))
    data = b"\x80" + bytes(20) + b"\x01" + bytes(20)
    decoder = RangeDecoder(data)
    symbols = [decoder.decode(starts, 0, len(starts)) for _ in range(31)]
    again = range_encode([starts[symbol] for symbol in symbols], [1000 if s < 65 else 536 for s in symbols])
    assert again[:21] == data[:21]
    assert decode(again, starts, [(0, len(starts), 0)] * 31) == symbols


def test_even_symbols_take_no_more_than_their_indices() -> None:
    codes = np.random.default_rng(0).integers(0, 1024, 600)
    data = range_encode((codes * 64).tolist(), [64] * len(codes))
    assert len(data) <= 751


def test_the_example_of_the_format_description() -> None:
    assert range_encode([], []) == b""
    assert range_encode([0], [65536]) == b""
    assert range_encode([10000, 30000, 50000], [500, 2, 15536]).hex(" ") == "27 f4 49"


@given(st.binary(max_size=40), tables())
def test_any_bytes_give_symbols_or_a_sentence(data: bytes, starts: list[int]) -> None:
    decoder = RangeDecoder(data)
    symbols, sizes = [], []
    try:
        for _ in range(30):
            symbols.append(decoder.decode(starts, 0, len(starts)))
            sizes.append(place(starts, [0, len(starts)], symbols[-1])[2])
        decoder.finish()
    except CodecError:
        return
    # What is accepted is a message of these symbols, if not the one that the encoder writes.
    again = range_encode([starts[symbol] for symbol in symbols], sizes)
    assert abs(len(again) - len(data)) <= 1


@given(st.lists(st.integers(0, 98), min_size=40, max_size=80), st.integers(1, 20))
def test_a_cut_message_ends_in_a_sentence(symbols: list[int], cut: int) -> None:
    starts = list(range(0, TOTAL, 656))
    data = range_encode([656 * symbol for symbol in symbols], [656] * len(symbols))
    decoder = RangeDecoder(data[: -5 - cut])
    with pytest.raises(CodecError, match="end before the last code"):
        for _ in symbols:
            decoder.decode(starts, 0, len(starts))


@pytest.mark.parametrize("tail", [b"\0", b"\x01", b"\xff" * 9])
def test_bytes_behind_the_last_symbol_are_refused(tail: bytes) -> None:
    starts = list(range(0, TOTAL, 64))
    where = [(0, len(starts), 64)] * 20
    data = range_encode([starts[500]] * 20, [64] * 20)
    assert decode(data, starts, where) == [500] * 20
    with pytest.raises(CodecError, match="behind the last code"):
        decode(data.ljust(30, b"\x01") + tail, starts, where)
