"""Units as bytes: one layout for blocks, footer and metadata, and how to find the next in damaged data."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from codec.bitstream.crc8 import crc8
from codec.bitstream.header import StreamHeader

SYNC = b"\xd3\x9a"
POSITION_MODULUS = 1 << 23
BLOCK = 0
FOOTER = 1
METADATA = 2
# Set in the field of every unit that is no block; the other bits are then the kind.
_NO_BLOCK = 1 << 23
# Checksums that fail may run over so many bytes, and twice the bytes passed over: see UnitScanner.
_FREE_CHECK_BYTES = 1 << 20

_HEAD = struct.Struct(">2sBHHB")
_CRC = struct.Struct(">I")
_CHECKED = _HEAD.size - 1
UNIT_OVERHEAD = _HEAD.size + _CRC.size
MIN_BLOCK_BYTES = UNIT_OVERHEAD + 1


@dataclass(frozen=True)
class Unit:
    """A unit whose checksums hold.

    Attributes:
        kind: BLOCK, FOOTER, METADATA, or one that this program does not know.
        position: of a block the index of its first frame modulo POSITION_MODULUS, else 0.
        payload: 0 to 65,535 bytes.
    """

    kind: int
    position: int
    payload: bytes

    @property
    def size(self) -> int:
        """All its bytes."""
        return UNIT_OVERHEAD + len(self.payload)


def encode_block(position: int, payload: bytes, salt: int) -> bytes:
    """Returns a block's bytes.

    Args:
        position: index of its first frame.
        payload: the packed codes.
        salt: the CRC-32 of the header, from which the unit's checksums go on.
    """
    return _encode(position % POSITION_MODULUS, payload, salt)


def encode_unit(kind: int, payload: bytes, salt: int) -> bytes:
    """Returns the bytes of a unit that is no block; `salt` as in `encode_block`."""
    return _encode(_NO_BLOCK | kind, payload, salt)


def unit_field(kind: int) -> bytes:
    """The three bytes that stand behind the sync word of a unit that is no block."""
    return (_NO_BLOCK | kind).to_bytes(3)


def _encode(field: int, payload: bytes, salt: int) -> bytes:
    head = _HEAD.pack(SYNC, field >> 16, field & 0xFFFF, len(payload), 0)[:_CHECKED]
    head += bytes([crc8(head, crc8(_CRC.pack(salt)))])
    return head + _CRC.pack(crc32(payload, crc32(head, salt))) + payload


class UnitScanner:
    """Finds units in bytes that arrive in any pieces, and passes over whatever is not one.

    Time is linear in the bytes pushed: the checksums of payloads that fail may run over a fixed allowance
    and twice the bytes passed over, and a candidate beyond that is passed over unchecked. Damage never gets
    there; only data made of counterfeit heads does, and passing it over earns the allowance back. Memory is
    one unit and what was pushed last.

    Attributes:
        skipped: bytes passed over so far.
    """

    def __init__(self, header: StreamHeader) -> None:
        self.skipped = 0
        self._salt = header.crc
        self._head_salt = crc8(_CRC.pack(self._salt))
        self._max_block_payload = header.max_payload_bytes
        self._buffer = bytearray()
        self._at = 0
        self._failed = 0

    def push(self, data: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the stream."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def discard(self) -> int:
        """Passes over the bytes that are left and returns how many they were."""
        count = len(self._buffer) - self._at
        self._skip(count)
        return count

    def next(self, final: bool) -> Unit | None:
        """Returns the next unit whose checksums hold, or None while bytes are missing.

        Args:
            final: no more bytes will come, so that an incomplete unit is passed over too.
        """
        while self._find_sync(final):
            size = self._unit_bytes()
            missing = size is not None and len(self._buffer) - self._at < size
            if missing and not final:
                return None
            if size is not None and not missing and self._holds(size):
                return self._take(size)
            self._skip(len(SYNC))
        return None

    def _find_sync(self, final: bool) -> bool:
        """Moves to the next sync word; tells whether a whole head stands there."""
        found = self._buffer.find(SYNC, self._at)
        if found < 0:
            half = not final and self._buffer.endswith(SYNC[:1])
            found = max(len(self._buffer) - half, self._at)
        self._skip(found - self._at)
        if len(self._buffer) - self._at >= UNIT_OVERHEAD:
            return True
        if final:
            self.discard()
        return False

    def _unit_bytes(self) -> int | None:
        """The size of the unit whose head stands here, or None if none can."""
        _, high, low, length, check = _HEAD.unpack_from(self._buffer, self._at)
        if crc8(self._buffer[self._at : self._at + _CHECKED], self._head_salt) != check:
            return None
        is_block = not (high << 16 | low) & _NO_BLOCK
        if is_block and not 1 <= length <= self._max_block_payload:
            return None
        return UNIT_OVERHEAD + int(length)

    def _holds(self, size: int) -> bool:
        if self._failed + size > _FREE_CHECK_BYTES + 2 * self.skipped:
            return False
        with memoryview(self._buffer) as view:
            head, payload = self._at + _HEAD.size, self._at + UNIT_OVERHEAD
            check = crc32(view[payload : self._at + size], crc32(view[self._at : head], self._salt))
            if _CRC.unpack_from(view, head) == (check,):
                return True
        self._failed += size
        return False

    def _take(self, size: int) -> Unit:
        _, high, low, _, _ = _HEAD.unpack_from(self._buffer, self._at)
        field = high << 16 | low
        payload = bytes(self._buffer[self._at + UNIT_OVERHEAD : self._at + size])
        self._at += size
        if field & _NO_BLOCK:
            return Unit(field ^ _NO_BLOCK, 0, payload)
        return Unit(BLOCK, field, payload)

    def _skip(self, count: int) -> None:
        self._at += count
        self.skipped += count
