"""The packets of an Ogg file, which tell a codec's payload from its container."""

from __future__ import annotations

_HEADER_BYTES = 27


def packet_sizes(data: bytes) -> list[int]:
    """Bytes of each packet of an Ogg file with one stream, headers included (RFC 3533)."""
    sizes: list[int] = []
    size = position = 0
    while data[position : position + 4] == b"OggS" and position + _HEADER_BYTES <= len(data):
        count = data[position + _HEADER_BYTES - 1]
        lacing = data[position + _HEADER_BYTES : position + _HEADER_BYTES + count]
        for length in lacing:
            size += length
            if length < 255:
                sizes.append(size)
                size = 0
        position += _HEADER_BYTES + count + sum(lacing)
    return sizes
