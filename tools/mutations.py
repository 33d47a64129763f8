"""Mutations of golden vectors, and of what they are made of, with checksums that hold or not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from codec.bitstream import StreamHeader
from codec.bitstream.crc8 import salted_crc8
from codec.bitstream.footer import Footer, encode_footer, parse_footer
from codec.bitstream.header import parse_header
from codec.bitstream.units import METADATA, POSITION_MODULUS, UNIT_OVERHEAD, encode_block, encode_unit
from codec.checkpoint import load_model
from codec.errors import UsageError
from codec.model import CodecModel
from codec.streaming import Framing

# Bytes that mean something, or are the ends of a range.
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xD3, 0x9A, 0xFE, 0xFF)


@dataclass(frozen=True)
class Seedling:
    """A golden vector in parts: of a container its header and units, else its packets."""

    framing: Framing
    parts: tuple[bytes, ...]
    header: StreamHeader
    model: CodecModel


def load_seedlings(folder: Path) -> list[Seedling]:
    """Read all vectors of a folder and their models."""
    entries = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))["vectors"]
    models = {name: load_model(folder / "models" / name) for name in {entry["model"] for entry in entries}}
    seedlings = []
    for entry in entries:
        data = (folder / entry["file"]).read_bytes()
        parts = split_packets(data) if entry["framing"] == "packets" else split_units(data)
        parsed = parse_header(parts[0], entry["file"])
        assert parsed is not None
        seedlings.append(Seedling(entry["framing"], tuple(parts), parsed[0], models[entry["model"]]))
    return seedlings


def split_packets(data: bytes) -> list[bytes]:
    """The packets of a file that holds each behind its size in two bytes."""
    parts, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        parts.append(data[at + 2 : end])
        at = end
    return parts


def split_units(data: bytes) -> list[bytes]:
    """Header and units of a container."""
    at = int.from_bytes(data[5:7])
    parts = [data[:at]]
    while at < len(data):
        end = at + UNIT_OVERHEAD + int.from_bytes(data[at + 5 : at + 7])
        parts.append(data[at:end])
        at = end
    return parts


class Mutator:
    """Draws mutations of the parts of streams from a generator."""

    def __init__(self, rng: random.Random, seedlings: list[Seedling]) -> None:
        self._rng = rng
        self._seedlings = seedlings

    def draw(self) -> tuple[Seedling, list[bytes]]:
        """A vector, and its parts, or a few that follow each other, after some accidents."""
        rng = self._rng
        seedling = rng.choice(self._seedlings)
        parts = list(seedling.parts)
        if rng.random() < 0.9:
            start = rng.randrange(1, len(parts))
            del parts[start + rng.randrange(1, 6) : -1]
            del parts[1:start]
        if rng.random() < 0.1:
            seedling, parts[0] = self._forge_header(seedling)
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            self._mutate(seedling, parts)
        return seedling, parts

    def _mutate(self, seedling: Seedling, parts: list[bytes]) -> None:
        forge = self._forge_packet if seedling.framing == "packets" else self._forge_unit
        kinds: list[Callable[[], None]] = [
            lambda: self._change_part(parts),
            lambda: self._shuffle_parts(parts),
            lambda: self._splice(parts),
            lambda: forge(seedling, parts),
            lambda: forge(seedling, parts),
        ]
        self._rng.choice(kinds)()

    def _place(self, parts: list[bytes]) -> int:
        """Any part, and the header only now and then, since most readings end there."""
        low = 0 if self._rng.random() < 0.05 or len(parts) < 2 else 1
        return self._rng.randrange(low, max(len(parts), low + 1))

    def _change_part(self, parts: list[bytes]) -> None:
        if parts:
            at = self._place(parts)
            parts[at] = self.change(parts[at])

    def _shuffle_parts(self, parts: list[bytes]) -> None:
        """Drops, repeats or swaps parts, or ends the stream early."""
        if not parts:
            return
        rng, at = self._rng, self._place(parts)
        kind = rng.randrange(4)
        if kind == 0:
            del parts[at : at + rng.randrange(1, 4)]
        elif kind == 1:
            parts[at:at] = [parts[at]] * rng.choice((1, 2, 50))
        elif kind == 2:
            other = self._place(parts)
            parts[at], parts[other] = parts[other], parts[at]
        else:
            del parts[at:]

    def _splice(self, parts: list[bytes]) -> None:
        """Puts in what another vector holds, or junk."""
        other = self._rng.choice(self._seedlings).parts
        start = self._rng.randrange(len(other))
        junk = [self._rng.randbytes(self._rng.choice((1, 3, 40, 700)))]
        at = self._rng.randrange(len(parts) + 1)
        parts[at:at] = self._rng.choice((junk, list(other[start : start + self._rng.randrange(1, 5)])))

    def change(self, data: bytes) -> bytes:
        """Data after one accident to its bytes."""
        rng = self._rng
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            return data[:b]
        if kind == 1:
            return data[:a] + data[b:]
        if kind == 2:
            return data[:b] + data[a:]
        if kind == 3:
            return data[:a] + bytes([rng.choice(INTERESTING)]) * (b - a) + data[b:]
        if kind == 4:
            return data[:a] + rng.randbytes(rng.randrange(20)) + data[b:]
        changed = bytearray(data)
        for _ in range(min(rng.randrange(1, 5), len(data))):
            changed[rng.randrange(len(data))] ^= rng.choice((1 << rng.randrange(8), rng.randrange(1, 256)))
        return bytes(changed)

    def _forge_unit(self, seedling: Seedling, parts: list[bytes]) -> None:
        """A unit with other contents whose checksums hold."""
        rng, salt = self._rng, seedling.header.crc
        at = self._place(parts) if parts else 0
        payload = self.change(parts[at][UNIT_OVERHEAD:] if parts else b"")[:65535]
        field = int.from_bytes(parts[at][2:5]) if parts else 0
        kind = rng.randrange(8)
        if kind == 0:
            forged = self._forge_footer(seedling)
        elif kind == 1:
            forged = encode_unit(rng.choice((METADATA, METADATA, 3, (1 << 23) - 1)), payload, salt)
        elif kind == 2:
            forged = encode_block(rng.choice((rng.randrange(POSITION_MODULUS), field + 1)), payload, salt)
        else:
            forged = encode_block(field, payload or b"\0", salt)
        parts[at : at + rng.randrange(2)] = [forged]

    def _forge_footer(self, seedling: Seedling) -> bytes:
        footer = parse_footer(seedling.parts[-1][UNIT_OVERHEAD:])
        assert footer is not None
        value = self._rng.choice((0, 1, footer.num_frames + 1, 10**15, (1 << 64) - 1))
        field = self._rng.choice(("num_frames", "num_samples"))
        forged: Footer = replace(footer, **{field: value})
        if self._rng.random() < 0.3:
            forged = replace(forged, header=self.change(forged.header))
        return encode_footer(forged, seedling.header.crc)

    def _forge_packet(self, seedling: Seedling, parts: list[bytes]) -> None:
        """A packet with another payload or number whose check holds."""
        at = self._place(parts) if parts else 0
        packet = parts[at] if parts else b"\0\0\0\0"
        number = self._rng.choice((packet[:2], self._rng.randbytes(2))).ljust(2, b"\0")
        payload = self.change(packet[3:]) or b"\0"
        check = salted_crc8(number + payload, seedling.header.crc)
        parts[at : at + self._rng.randrange(2)] = [number + bytes([check]) + payload]

    def _forge_header(self, seedling: Seedling) -> tuple[Seedling, bytes]:
        """A vector that goes on from a header whose checksum holds, with other fields."""
        field = self._rng.choice(
            ("channels", "num_codebooks", "bits_per_code", "block_frames", "sample_rate")
        )
        value = self._rng.choice((1, 2, 7, 16, 31, 200, 65535, getattr(seedling.header, field) + 1))
        try:
            header = replace(seedling.header, **{field: value})
        except UsageError:
            return seedling, seedling.parts[0]
        return replace(seedling, header=header), header.to_bytes()
