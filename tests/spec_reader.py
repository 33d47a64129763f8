"""A reader of whole streams written from docs/bitstream.md and docs/bitstream-payload.md, and nothing else.

It shares no line with the codec: where the two disagree, one of them or the documents are wrong. It takes
undamaged streams only, and ValueError tells of everything else.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Header:
    """The fields of a header; `salt` is its CRC-32, `size` counts its bytes."""

    size: int
    model_name: str
    model_id: bytes
    sample_rate: int
    channels: int
    model_rate: int
    hop: int
    num_codebooks: int
    bits: int
    block_frames: int
    salt: int

    @property
    def max_payload(self) -> int:
        """P of the documents."""
        return 3 + -(-self.block_bits // 8)

    @property
    def block_bits(self) -> int:
        """L x C x (m + M x b)."""
        per_channel = self.num_codebooks.bit_length() + self.num_codebooks * self.bits
        return self.block_frames * self.channels * per_channel


Tables = dict[str, NDArray[Any]]
"""The arrays of entropy.safetensors by name, as integers of 64 bits."""


@dataclass(frozen=True)
class Stream:
    """All that a stream holds: codes [C, M, F] with -1 where nothing was sent, exact length, tags."""

    header: Header
    codes: Codes
    num_samples: int
    tags: list[tuple[str, str]]


def expect(holds: bool, what: str) -> None:
    """Refuse a stream that breaks a rule."""
    if not holds:
        raise ValueError(what)


def crc8(data: bytes) -> int:
    """Polynomial 0x07, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


def read_header(data: bytes) -> Header:
    """The header at the start of some bytes."""
    expect(data[:4] == b"\x8eNAC" and data[4] == 1, "no stream of version 1")
    (size,) = struct.unpack_from(">H", data, 5)
    flags, name_size = data[7], data[8]
    expect(37 + name_size <= size <= min(4096, len(data)) and 1 <= name_size <= 32, "header of wrong size")
    expect(not flags & 0xF0, "unknown flag")
    fields = struct.unpack_from(">8sIBIHHBH", data, 9 + name_size)
    (salt,) = struct.unpack_from(">I", data, size - 4)
    expect(zlib.crc32(data[: size - 4]) == salt, "damaged header")
    header = Header(size, data[9 : 9 + name_size].decode(), *fields, salt)
    expect(1 <= header.sample_rate <= 768_000 and 1 <= header.model_rate <= 768_000, "impossible rate")
    expect(1 <= header.channels <= 32 and 1 <= header.bits <= 16, "impossible sizes")
    expect(min(header.hop, header.num_codebooks, header.block_frames) >= 1, "impossible sizes")
    expect(header.block_bits <= 8 * 65_532, "blocks too long")
    return header


def read_container(data: bytes, tables: Tables | None = None) -> Stream:
    """A whole file."""
    header = read_header(data)
    at, tags, blocks = header.size, [], []
    decoder = PayloadReader(header, tables)
    footer = None
    while at < len(data):
        expect(footer is None, "bytes after the footer")
        field, payload = read_unit(data, at, header)
        at += 12 + len(payload)
        if field >> 23 == 0:
            due = len(blocks) * header.block_frames
            expect(field == due % (1 << 23), f"a block of frame {field} where {due} is due")
            expect(1 <= len(payload) <= header.max_payload, "payload of wrong size")
            blocks.append(decoder.read(payload))
        elif field & 0x7FFFFF == 1:
            footer = payload
        elif field & 0x7FFFFF == 2:
            tags += read_tags(payload)
    expect(footer is not None, "no footer")
    assert footer is not None
    expect(footer[24 : 24 + header.size] == data[: header.size], "the footer repeats another header")
    expect(struct.unpack_from(">H", footer, 24 + header.size) == (12 + len(footer),), "footer of wrong size")
    return finish(header, blocks, footer[:24], tags)


def read_unit(data: bytes, at: int, header: Header) -> tuple[int, bytes]:
    """The 24-bit field and the payload of the unit at a place."""
    expect(data[at : at + 2] == b"\xd3\x9a", "no sync word")
    expect(len(data) >= at + 12, "the stream ends in a unit")
    size, check, crc = struct.unpack_from(">HBI", data, at + 5)
    payload = data[at + 12 : at + 12 + size]
    expect(crc8(struct.pack(">I", header.salt) + data[at : at + 7]) == check, "damaged head")
    expect(len(payload) == size, "the stream ends in a unit")
    expect(zlib.crc32(data[at : at + 8] + payload, header.salt) == crc, "damaged unit")
    return int.from_bytes(data[at + 2 : at + 5]), payload


def read_tags(payload: bytes) -> list[tuple[str, str]]:
    """The tags of a metadata unit."""
    tags, at = [], 0
    while at < len(payload):
        (size,) = struct.unpack_from(">H", payload, at)
        key, _, value = payload[at + 2 : at + 2 + size].decode().partition("=")
        tags.append((key, value))
        at += 2 + size
    return tags


def read_packets(packets: list[bytes], tables: Tables | None = None) -> Stream:
    """All packets of a live stream, in their order."""
    header = read_header(packets[0])
    expect(header.size == len(packets[0]), "the set-up packet is the header, exactly")
    decoder = PayloadReader(header, tables)
    blocks: list[Codes] = []
    end = None
    for packet in packets[1:]:
        expect(end is None, "a packet after the end")
        if packet == packets[0]:
            continue
        if packet[:4] == b"\x8eNAE" and zlib.crc32(packet[:28], header.salt) == int.from_bytes(packet[28:]):
            end = packet[4:28]
            continue
        expect(4 <= len(packet) <= 3 + header.max_payload, "packet of wrong size")
        expect(crc8(struct.pack(">I", header.salt) + packet[:2] + packet[3:]) == packet[2], "damaged packet")
        expect(int.from_bytes(packet[:2]) == len(blocks) % (1 << 16), "packet out of order")
        blocks.append(decoder.read(packet[3:]))
    expect(end is not None, "no end packet")
    assert end is not None
    return finish(header, blocks, end, [])


def finish(header: Header, blocks: list[Codes], counts: bytes, tags: list[tuple[str, str]]) -> Stream:
    """Join the blocks, and check the end: frames, samples and the hash of the codes."""
    num_frames, num_samples, digest = struct.unpack(">QQ8s", counts)
    full = header.block_frames
    expect(all(block.shape[2] == full for block in blocks[:-1]), "a short block before the last")
    codes = np.concatenate([np.zeros((header.channels, header.num_codebooks, 0), np.int64), *blocks], axis=2)
    expect(codes.shape[2] == num_frames, "the end states other frames")
    samples_fit = num_samples * header.model_rate < (num_frames + 1) * header.hop * header.sample_rate
    expect(samples_fit, "the end states more samples than the frames hold")
    expect(hash_of(codes)[:8] == digest, "the end states another hash")
    return Stream(header, codes, num_samples, tags)


def hash_of(codes: Codes) -> bytes:
    """SHA-256 over the codes, frame by frame and channel by channel: n, then n codes, two bytes each."""
    digest = hashlib.sha256()
    for frame in range(codes.shape[2]):
        for channel in range(codes.shape[0]):
            sent = [int(code) for code in codes[channel, :, frame] if code >= 0]
            digest.update(struct.pack(f">{1 + len(sent)}H", len(sent), *sent))
    return digest.digest()


def heard(codes: Codes, block_frames: int | None) -> Codes:
    """The codes that are played: other frames' where none were sent, of the same block in a container."""
    played = codes.copy()
    channels, _, frames = codes.shape
    for frame in range(frames):
        first = frame // block_frames * block_frames if block_frames else 0
        for channel in range(channels):
            sent = [f for f in range(first, frame) if codes[channel, 0, f] >= 0][-4:]
            if codes[channel, 0, frame] < 0 and sent:
                source = sent[-1 - mix(frame * channels + channel) % len(sent)]
                played[channel, :, frame] = codes[channel, :, source]
    return played


def mix(y: int) -> int:
    """32 bits, mixed."""
    y &= 0xFFFFFFFF
    y = (y ^ y >> 16) * 0x7FEB352D & 0xFFFFFFFF
    y = (y ^ y >> 15) * 0x846CA68B & 0xFFFFFFFF
    return y ^ y >> 16


def read_tables(data: bytes) -> Tables:
    """The entropy tables in the bytes of a safetensors file."""
    (size,) = struct.unpack_from("<Q", data)
    types = {"U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "I32": "<i4"}
    tables = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[start:end], types[entry["dtype"]])
            tables[name] = values.reshape(entry["shape"]).astype(np.int64)
    return tables


class PayloadReader:
    """Payloads of one stream to codes [C, M, F], -1 where nothing was sent."""

    def __init__(self, header: Header, tables: Tables | None) -> None:
        self.header = header
        self.tables = tables

    def read(self, payload: bytes) -> Codes:
        """The codes of one payload."""
        expect(len(payload) > 0, "a payload of no bytes")
        mode, frames, body = payload[0], self.header.block_frames, payload[1:]
        if mode & 0x40:
            (frames,), body = struct.unpack_from(">H", payload, 1), payload[3:]
            expect(1 <= frames < self.header.block_frames, "a short payload of wrong length")
        n = mode & 0x3F
        expect(n == 63 or n <= self.header.num_codebooks, "too many codebooks")
        symbols: RawSymbols | CodedSymbols
        if mode & 0x80:
            assert self.tables is not None
            symbols = CodedSymbols(body, self.tables)
        else:
            symbols = RawSymbols(body, self.header.num_codebooks, self.header.bits)
        codes = np.full((self.header.channels, self.header.num_codebooks, frames), -1, np.int64)
        for frame in range(frames):
            for channel in range(self.header.channels):
                # The column of the frame before; None at the start of a payload.
                before = codes[channel, :, frame - 1] if frame else None
                count = symbols.count(before) if n == 63 else n
                expect(count <= self.header.num_codebooks, "too many codebooks")
                for codebook in range(count):
                    now = codes[channel, :codebook, frame]
                    codes[channel, codebook, frame] = symbols.code(codebook, before, now)
        symbols.finish()
        return codes


class RawSymbols:
    """Numbers of fixed sizes, most significant bit first."""

    def __init__(self, body: bytes, num_codebooks: int, bits: int) -> None:
        self.bits = "".join(f"{byte:08b}" for byte in body)
        self.at = 0
        self.count_bits = num_codebooks.bit_length()
        self.code_bits = bits

    def take(self, size: int) -> int:
        """The next number."""
        self.at += size
        expect(self.at <= len(self.bits), "a body with too few bytes")
        return int(self.bits[self.at - size : self.at], 2)

    def count(self, before: Codes | None) -> int:
        """The next n."""
        return self.take(self.count_bits)

    def code(self, codebook: int, before: Codes | None, now: Codes) -> int:
        """The next code."""
        return self.take(self.code_bits)

    def finish(self) -> None:
        """Less than a byte is left, and that is zero."""
        rest = self.bits[self.at :]
        expect(len(rest) < 8 and "1" not in rest, "a body with too many bytes, or a last byte not filled up")


class CodedSymbols:
    """A message of the range coder, its intervals told by tables."""

    def __init__(self, body: bytes, tables: Tables) -> None:
        self.body = body
        self.tables = tables
        self.value = int.from_bytes(body[:4].ljust(4, b"\0"))
        self.width = (1 << 32) - 1
        self.read = 0

    def target(self) -> int:
        """The number that the next symbol's interval holds."""
        target = self.value // (self.width // 65536)
        expect(target <= 65535, "no interval holds the target")
        return target

    def take(self, start: int, size: int) -> None:
        """Go on behind a symbol with this interval."""
        unit = self.width // 65536
        self.value -= unit * start
        self.width = unit * size
        while self.width < 1 << 24:
            following = self.body[4 + self.read] if 4 + self.read < len(self.body) else 0
            self.value = self.value * 256 + following
            self.width *= 256
            self.read += 1

    def finish(self) -> None:
        """The message has neither more bytes than were read, or one, nor fewer."""
        size = len(self.body)
        expect(size == self.read or (size == self.read + 1 and self.body[-1] != 0), "a body of wrong size")

    def count(self, before: Codes | None) -> int:
        """The next n, by the interval that it has after the n of the frame before."""
        rows = self.tables["counts"]
        row = rows[-1] if before is None else rows[(before >= 0).sum()]
        n = int((row <= self.target()).sum()) - 1
        ends = [*row.tolist(), 65536]
        self.take(ends[n], ends[n + 1] - ends[n])
        return n

    def code(self, codebook: int, before: Codes | None, now: Codes) -> int:
        """The next code, by the way down the tree of its codebook."""
        tables = self.tables
        left = self.chances(codebook, before, now)
        node, words, start, size = 0, tables["leaves"].shape[1], 0, 65536
        target = self.target()
        while words > 1:
            split = words // 2 + ((size - words) * int(left[node]) >> 16)
            if target < start + split:
                node, size = 2 * node + 1, split
            else:
                node, start, size = 2 * node + 2, start + split, size - split
            words //= 2
        self.take(start, size)
        leaf = node - (tables["leaves"].shape[1] - 1)
        return int(np.flatnonzero(tables["leaves"][codebook] == leaf)[0])

    def chances(self, codebook: int, before: Codes | None, now: Codes) -> Codes:
        """The probability of going left at each node, in 1/65536."""
        tables, num_codebooks = self.tables, len(self.tables["leaves"])
        past, present = self.features(before), self.features(now)
        x = self.layer("past_in", None, 0, np.clip(past, -1023, 1023))
        x = self.layer("past_out", None, 1, np.clip(x, 0, 255))
        x = np.concatenate([np.clip(x, 0, 255), np.clip(present, -1023, 1023)])
        x = self.layer("hidden", codebook, 2 + codebook, x)
        x = self.layer("node", codebook, 2 + num_codebooks + codebook, np.clip(x, 0, 255))
        chances: Codes = tables["left"][np.clip(x, -1024, 1023) + 1024]
        return chances

    def features(self, codes: Codes | None) -> Codes:
        """The sum of what the codes of a frame, or of its first codebooks, add."""
        total = np.zeros(self.tables["features"].shape[2], np.int64)
        for codebook, code in enumerate([] if codes is None else codes):
            if code >= 0:
                total += self.tables["features"][codebook, code]
        return total

    def layer(self, name: str, codebook: int | None, shift: int, x: Codes) -> Codes:
        """(W x + B) >> s, of one codebook's share where the layer has one for each."""
        weight, bias = self.tables[f"{name}_weight"], self.tables[f"{name}_bias"]
        if codebook is not None:
            weight, bias = weight[codebook], bias[codebook]
        sums: Codes = (weight @ x + bias) >> self.tables["shifts"][shift]
        return sums
