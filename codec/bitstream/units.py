"""Blocks and footer as bytes: one layout for both, and how to find the next one in damaged data."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from codec.bitstream.header import StreamHeader
from codec.bitstream.packet import FrameCoder

SYNC = b"\xd3\x9a"
SEQUENCE_MODULUS = 1 << 24
# A gap in the sequence that no bytes stand for is believed up to this many frames, so that a few crafted
# bytes cannot ask for years of concealment.
MAX_UNSEEN_FRAMES = 1 << 16
_FREE_CHECK_BYTES = 1 << 16

_HEAD = struct.Struct(">2sBHH")
_CRC = struct.Struct(">I")
_FOOTER = struct.Struct(">QQ")
UNIT_OVERHEAD = _HEAD.size + _CRC.size
FOOTER_BYTES = UNIT_OVERHEAD + _FOOTER.size


@dataclass(frozen=True)
class Unit:
    """A block or a footer whose checksum holds.

    Attributes:
        sequence: of a block its index, of a footer the number of blocks, modulo SEQUENCE_MODULUS.
        frames: 1 or more in a block, 0 in a footer.
        payload: the packed codes, or a footer's two counts.
        skipped: bytes between the unit before and this one.
    """

    sequence: int
    frames: int
    payload: bytes
    skipped: int


def encode_unit(index: int, frames: int, payload: bytes, salt: int) -> bytes:
    """Returns a unit's bytes.

    Args:
        index: of a block its index, of a footer the number of blocks.
        frames: in the block, or 0 for a footer.
        payload: the packed codes, or a footer's two counts.
        salt: the CRC-32 of the header, from which the unit's CRC-32 goes on.
    """
    sequence = index % SEQUENCE_MODULUS
    body = _HEAD.pack(SYNC, sequence >> 16, sequence & 0xFFFF, frames) + payload
    return body + _CRC.pack(crc32(body, salt))


def encode_footer(num_blocks: int, num_frames: int, num_samples: int, salt: int) -> bytes:
    """Returns the footer's bytes for the counts of the whole stream; `salt` as in `encode_unit`."""
    return encode_unit(num_blocks, 0, _FOOTER.pack(num_frames, num_samples), salt)


def parse_footer(unit: Unit) -> tuple[int, int]:
    """Returns num_frames and num_samples of a footer."""
    num_frames, num_samples = _FOOTER.unpack(unit.payload)
    return num_frames, num_samples


class UnitScanner:
    """Finds units in bytes that arrive in any pieces, and passes over whatever is not one.

    Time is linear in the bytes pushed: the checksums that fail may run over a fixed allowance and twice the
    bytes passed over, and a candidate beyond that is passed over unchecked. Damage never gets there; only
    data made of counterfeit block headers does, and passing it over earns the allowance back.

    Attributes:
        header: of the stream.
        coder: what its payloads are packed with.
        block_bytes: size of a full block in bytes, overhead included.
        skipped: bytes passed over since the last unit.
    """

    def __init__(self, header: StreamHeader, coder: FrameCoder) -> None:
        self.header = header
        self.coder = coder
        self.block_bytes = UNIT_OVERHEAD + coder.num_bytes(header.channels, header.block_frames)
        self.skipped = 0
        self._salt = header.crc
        self._buffer = bytearray()
        self._at = 0
        self._total_skipped = 0
        self._total_failed = 0

    def push(self, data: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the stream."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def discard(self) -> int:
        """Drops the bytes after the last unit and returns how many they were."""
        count = len(self._buffer) - self._at
        self._buffer.clear()
        self._at = 0
        return count

    def believes(self, blocks: int, skipped: int) -> bool:
        """Whether a gap of so many blocks, with so many bytes passed over in it, is taken for real."""
        unseen = MAX_UNSEEN_FRAMES // self.header.block_frames
        return blocks <= min(unseen + skipped // self.block_bytes, SEQUENCE_MODULUS // 2)

    def next(self, index: int, final: bool) -> Unit | None:
        """Returns the next unit whose checksum holds, or None while bytes are missing.

        Args:
            index: of the block that is due; blocks before it, or too far after it, are passed over.
            final: no more bytes will come, so that an incomplete unit is passed over too.
        """
        while self._find_sync(final):
            _, high, low, frames = _HEAD.unpack_from(self._buffer, self._at)
            sequence = high << 16 | low
            size = self._unit_bytes(frames, (sequence - index) % SEQUENCE_MODULUS)
            available = len(self._buffer) - self._at
            if size is not None and available < size and not final:
                return None
            if size is not None and available >= size and self._holds(size):
                return self._take(sequence, frames, size)
            self._skip(len(SYNC))
        return None

    def _find_sync(self, final: bool) -> bool:
        """Moves to the next sync word; tells whether a whole unit head stands there."""
        found = self._buffer.find(SYNC, self._at)
        if found < 0:
            half = not final and self._buffer.endswith(SYNC[:1])
            found = max(len(self._buffer) - half, self._at)
        self._skip(found - self._at)
        if len(self._buffer) - self._at >= _HEAD.size:
            return True
        if final:
            self._skip(len(self._buffer) - self._at)
        return False

    def _unit_bytes(self, frames: int, ahead: int) -> int | None:
        """The size of a unit with `frames`, `ahead` blocks after the one due, or None if that cannot be."""
        if frames == 0:
            return FOOTER_BYTES
        if frames > self.header.block_frames or not self.believes(ahead, self.skipped):
            return None
        return UNIT_OVERHEAD + self.coder.num_bytes(self.header.channels, frames)

    def _holds(self, size: int) -> bool:
        allowance = _FREE_CHECK_BYTES + 4 * self.block_bytes + 2 * self._total_skipped
        if self._total_failed + size > allowance:
            return False
        end = self._at + size - _CRC.size
        with memoryview(self._buffer) as view:
            if _CRC.unpack_from(view, end) == (crc32(view[self._at : end], self._salt),):
                return True
        self._total_failed += size
        return False

    def _take(self, sequence: int, frames: int, size: int) -> Unit:
        end = self._at + size
        payload = bytes(self._buffer[self._at + _HEAD.size : end - _CRC.size])
        unit = Unit(sequence, frames, payload, self.skipped)
        self._at = end
        self.skipped = 0
        return unit

    def _skip(self, count: int) -> None:
        self._at += count
        self.skipped += count
        self._total_skipped += count
