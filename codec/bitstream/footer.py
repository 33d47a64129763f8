"""The footer: what only the end of a stream can tell, and the header once more, lest damage hide it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from codec.bitstream.header import MAX_HEADER_BYTES, StreamHeader, parse_header
from codec.bitstream.lengths import HASH_BYTES
from codec.bitstream.units import FOOTER, SYNC, UNIT_OVERHEAD, encode_unit, unit_field
from codec.errors import CodecError

_COUNTS = struct.Struct(f">QQ{HASH_BYTES}s")
_SIZE = struct.Struct(">H")
_FIXED_BYTES = UNIT_OVERHEAD + _COUNTS.size + _SIZE.size
_MAX_BYTES = _FIXED_BYTES + MAX_HEADER_BYTES

_START = SYNC + unit_field(FOOTER)


@dataclass(frozen=True)
class Footer:
    """What a footer says.

    Attributes:
        num_frames: of the whole stream.
        num_samples: exact length of a channel at the user's sample rate.
        codes_hash: 8 bytes, the digest of CodesHash.
        header: the bytes of the header again.
    """

    num_frames: int
    num_samples: int
    codes_hash: bytes
    header: bytes


def encode_footer(footer: Footer, salt: int) -> bytes:
    """Returns the footer's bytes, whose last two tell how many they are, so that it is found from the end.

    Args:
        footer: what it says.
        salt: the CRC-32 of the header, from which the checksums go on.
    """
    counts = _COUNTS.pack(footer.num_frames, footer.num_samples, footer.codes_hash)
    size = _FIXED_BYTES + len(footer.header)
    return encode_unit(FOOTER, counts + footer.header + _SIZE.pack(size), salt)


def parse_footer(payload: bytes) -> Footer | None:
    """Returns what the payload of a footer says, or None if no footer encodes to it."""
    header = payload[_COUNTS.size : -_SIZE.size]
    if not header or _SIZE.unpack(payload[-_SIZE.size :]) != (UNIT_OVERHEAD + len(payload),):
        return None
    num_frames, num_samples, codes_hash = _COUNTS.unpack_from(payload)
    return Footer(num_frames, num_samples, codes_hash, header)


def find_footer(tail: bytes, header: StreamHeader | None) -> tuple[int, Footer, StreamHeader] | None:
    """Finds the first whole footer in the last bytes of a file, which is where a reader stops.

    Args:
        tail: the bytes; others may follow the footer.
        header: of the stream, or None if that is what is looked for.

    Returns:
        where in `tail` it starts, what it says, and the header; None if there is no whole footer, or none of
        that header.
    """
    at = -1
    while (at := tail.find(_START, at + 1)) >= 0:
        found = _footer_at(tail, at, header)
        if found:
            return at, *found
    return None


def _footer_at(tail: bytes, at: int, header: StreamHeader | None) -> tuple[Footer, StreamHeader] | None:
    length = int.from_bytes(tail[at + len(_START) : at + len(_START) + _SIZE.size])
    if length > _MAX_BYTES - UNIT_OVERHEAD:
        return None
    data = tail[at : at + UNIT_OVERHEAD + length]
    footer = parse_footer(data[UNIT_OVERHEAD:])
    copy = _parse_copy(footer.header) if footer else None
    if footer is None or copy is None or encode_footer(footer, copy.crc) != data:
        return None
    return (footer, copy) if header in (None, copy) else None


def _parse_copy(data: bytes) -> StreamHeader | None:
    try:
        parsed = parse_header(data, "the copy of the header")
    except CodecError:
        return None
    return parsed[0] if parsed and parsed[1] == len(data) else None
