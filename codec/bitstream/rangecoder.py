"""Range coding in integers: symbols with known frequencies become nearly as many bits as they are worth.

The byte-wise range coder of Martin 1979, "Range encoding: an algorithm for removing redundancy from a
digitised message", with a 32-bit state and frequencies that sum to 2**16. docs/bitstream-payload.md gives its
steps.

The symbols' frequencies narrow an interval within 0 .. 2**32. Each time its width falls below 2**24, its
topmost byte goes out and 8 bits come in below. Adding to the lower end may still carry into bytes that are
out. At the end at most one byte more goes out, so that the number that the bytes are, zeros following, lies
in the last interval.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from codec.errors import CodecError

PRECISION_BITS = 16
TOTAL = 1 << PRECISION_BITS

_STATE_BITS = 32
_TOP = 1 << _STATE_BITS
_BYTE_SHIFT = _STATE_BITS - 8
_LEAST_WIDTH = 1 << _BYTE_SHIFT
_MASK = _TOP - 1
_LOOK_AHEAD = _STATE_BITS // 8

_Integers = NDArray[np.int64]


def range_encode(starts: Sequence[int] | _Integers, sizes: Sequence[int] | _Integers) -> bytes:
    """Returns the bytes of a message, at most ceil(B / 8) of them for B bits.

    B is the sum of -log2(size / 2**16), and at most 0.0057 bit a symbol more (0.0005 on the average) since
    the interval's width is cut to whole numbers.

    Args:
        starts: for each symbol the sum of the frequencies of those below it, in 0 .. 2**16 - 1.
        sizes: its frequency, at least 1; start + size is at most 2**16.
    """
    sizes = np.asarray(sizes, np.int64)
    widths = _widths(sizes)
    moved = np.add(widths < _LEAST_WIDTH, widths < _LEAST_WIDTH >> 8, dtype=np.int64)
    ends = np.cumsum(moved)
    length = int(ends[-1]) if len(ends) else 0
    # What symbols with as many bytes before them add to the lower end lies in one interval of 2**32.
    added = np.bincount(ends - moved, widths // sizes * np.asarray(starts), minlength=length + 1)
    low = _sum_of_words(added)
    width = int(widths[-1]) << 8 * int(moved[-1]) if len(widths) else _MASK
    return _shortest(low, width, length)


def _widths(sizes: _Integers) -> _Integers:
    """The interval's width after each symbol, before bytes go out: below 2**24 one, below 2**16 two."""
    # The one thing that has to be done symbol by symbol.
    width = _MASK
    widths = [
        width := (width >> 16 if width >= 1 << 24 else width >> 8 if width >= 1 << 16 else width) * size
        for size in sizes.tolist()
    ]
    return np.fromiter(widths, np.int64, len(widths))


def _sum_of_words(words: NDArray[np.number]) -> int:
    """The sum of integers below 2**32, each shifted a byte above the one behind it."""
    total = 0
    for column in words.astype(">u4").view(np.uint8).reshape(-1, 4).T:
        total = (total << 8) + int.from_bytes(column.tobytes())
    return total


def _shortest(low: int, width: int, length: int) -> bytes:
    """The bytes of a number in an interval whose ends have so many bytes above their last 32 bits."""
    out, rest = low >> _STATE_BITS, low & _MASK
    if rest + width > _TOP:
        return (out + 1).to_bytes(length)
    tail = (rest + _LEAST_WIDTH - 1) >> _BYTE_SHIFT
    return out.to_bytes(length) + (bytes([tail]) if rest else b"")


class RangeDecoder:
    """Reads the symbols of one message; zeros follow its last byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _LOOK_AHEAD
        self._code = int.from_bytes(data[:_LOOK_AHEAD].ljust(_LOOK_AHEAD, b"\0"))
        self._width = _MASK

    def target(self) -> int:
        """Returns where in 0 .. 2**16 - 1 the next symbol's interval lies; `take` is to follow.

        Raises:
            CodecError: no message has these bytes.
        """
        target = self._code // (self._width >> PRECISION_BITS)
        if target >= TOTAL:
            raise CodecError("the entropy coded bytes are damaged")
        return target

    def take(self, start: int, size: int) -> None:
        """Goes on behind a symbol whose interval, the one that holds the target, has this start and size.

        Raises:
            CodecError: the message has fewer bytes.
        """
        unit = self._width >> PRECISION_BITS
        self._code -= unit * start
        self._width = width = unit * size
        while width < _LEAST_WIDTH:
            self._code = self._code << 8 | self._next_byte()
            self._width = width = width << 8

    def decode(self, starts: Sequence[int], first: int, last: int) -> int:
        """Returns the index in `starts` of the next symbol.

        Args:
            starts: sums of frequencies, for several tables one after the other.
            first: where the table of this symbol begins; it begins with 0 and rises.
            last: where it ends, exclusive; frequencies sum to 2**16, so the end of the last one is not told.

        Raises:
            CodecError: no message has these bytes.
        """
        index = bisect_right(starts, self.target(), first, last) - 1
        start = starts[index]
        end = starts[index + 1] if index + 1 < last else TOTAL
        self.take(start, end - start)
        return index

    def finish(self) -> None:
        """Checks after the last symbol that the message has no bytes beyond it.

        Raises:
            CodecError: it has, or it ends with a zero that no encoder writes.
        """
        surplus = len(self._data) - (self._at - _LOOK_AHEAD)
        if surplus > 1 or (surplus == 1 and not self._data[-1]):
            raise CodecError("the entropy coded bytes go on behind the last code")

    def _next_byte(self) -> int:
        """Zeros follow the message, as many as the coder looks ahead by."""
        at = self._at
        self._at += 1
        if at < len(self._data):
            return self._data[at]
        if at >= len(self._data) + _LOOK_AHEAD:
            raise CodecError("the entropy coded bytes end before the last code")
        return 0


class RangeLanes:
    """Reads many messages side by side, a symbol of each at a time; see `RangeDecoder`.

    Nothing is raised: a message that turns out to be damaged goes on with symbols that mean nothing.
    """

    def __init__(self, messages: Sequence[bytes]) -> None:
        padding = bytes(2 * _LOOK_AHEAD)
        data = np.frombuffer(b"".join(message + padding for message in messages), np.uint8)
        lengths = np.array([len(message) for message in messages])
        starts = np.cumsum(lengths + len(padding)) - lengths - len(padding)
        # Each byte with the one behind it: a symbol takes up to two.
        self._pairs = data[:-1].astype(np.uint16) << 8 | data[1:]
        code = self._pairs[starts].astype(np.int64) << 16 | self._pairs[starts + 2]
        width = np.full_like(starts, _MASK)
        at, last = starts + _LOOK_AHEAD, starts + lengths + _LOOK_AHEAD
        # In rows: as in `RangeDecoder`, the highest target so far, and the last place to read from.
        self._state = np.stack([code, width, at, np.zeros_like(starts), last])

    def select(self, lanes: NDArray[np.generic] | slice) -> RangeLanes:
        """Some of the messages, by indices or a mask; with a slice they go on together with these."""
        some = copy(self)
        some._state = self._state[:, lanes]
        return some

    def put(self, lanes: _Integers, others: RangeLanes) -> None:
        """Let messages go on where their copies, which `select` gave, have come to."""
        self._state[:, lanes] = others._state

    def targets(self) -> _Integers:
        """See `RangeDecoder.target`; at most 65535."""
        code, width, _, highest, _ = self._state
        target: _Integers = code // (width >> PRECISION_BITS)
        np.maximum(highest, target, out=highest)
        np.minimum(target, TOTAL - 1, out=target)
        return target

    def take(self, start: _Integers, size: _Integers) -> None:
        """See `RangeDecoder.take`."""
        code, width, at, _, _ = self._state
        unit = width >> PRECISION_BITS
        code -= unit * start
        np.multiply(unit, size, out=width)
        count = np.add(width < _LEAST_WIDTH, width < _LEAST_WIDTH >> 8, dtype=np.int64)
        shift = count << 3
        width <<= shift
        code <<= shift
        code |= self._pairs.take(at, mode="clip") >> (16 - shift)
        at += count

    def damaged(self) -> NDArray[np.bool_]:
        """Which messages no symbols have, as far as is known."""
        _, _, at, highest, last = self._state
        damaged: NDArray[np.bool_] = (highest >= TOTAL) | (at > last)
        return damaged

    def surplus(self) -> NDArray[np.bool_]:
        """Which messages go on behind the last symbol; see `RangeDecoder.finish`."""
        _, _, at, _, last = self._state
        final = self._pairs.take(last - _LOOK_AHEAD - 1, mode="clip") >> 8
        surplus: NDArray[np.bool_] = (at < last - 1) | ((at == last - 1) & (final == 0))
        return surplus
