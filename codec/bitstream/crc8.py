"""The 8-bit checksum of unit heads and live packets: CRC-8 with the polynomial x^8 + x^2 + x + 1."""

from __future__ import annotations


def _table() -> bytes:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1) ^ (0x107 if value & 0x80 else 0)
        table.append(value)
    return bytes(table)


_TABLE = _table()


def crc8(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Returns the CRC-8 of `data`, going on from `value`, the CRC-8 of the bytes before it.

    The polynomial is 0x07, the initial value 0, nothing is reflected or inverted: the bytes of "123456789"
    give 0xF4. It finds every change of up to 8 neighbouring bits, and up to three changed bits in 14 bytes.
    """
    for byte in data:
        value = _TABLE[value ^ byte]
    return value


def salted_crc8(data: bytes | bytearray | memoryview, salt: int) -> int:
    """Returns the CRC-8 of the four bytes of `salt`, most significant first, followed by `data`."""
    return crc8(data, crc8(salt.to_bytes(4)))
