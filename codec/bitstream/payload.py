"""How the codes of a block or packet become bytes and back (docs/bitstream-payload.md).

A payload needs no other: its first byte tells how it is written, and how many codebooks its frames send.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import MAX_BITS_PER_CODE, Codes, codebooks_sent
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.lanes import Body
from codec.errors import CodecError, UsageError

_CODED = 0x80
_SHORT = 0x40
_COUNT_MASK = 0x3F
_VARIES = 63

_Bits = npt.NDArray[np.uint8]


def max_payload_bytes(num_codebooks: int, bits_per_code: int, frames: int, channels: int) -> int:
    """Bytes that the payload of F full-length frames of C channels never exceeds, whatever they send."""
    bits = num_codebooks.bit_length() + num_codebooks * bits_per_code
    return 1 + (frames * channels * bits + 7) // 8


class PayloadCoder:
    """Packs and unpacks the payloads of one stream; it keeps nothing from one payload to the next.

    Args:
        num_codebooks: M, at least 1.
        bits_per_code: b, 1 to 16; codes lie below 2**b.
        block_frames: frames in every payload but a short one, 1 to 65535.
        channels: C, at least 1.
        tables: the model's entropy coder, for M codebooks or more, or None for raw payloads only.

    Raises:
        UsageError: a number is out of range.
        CodecError: the tables are for fewer codebooks, or for others.
    """

    def __init__(
        self,
        num_codebooks: int,
        bits_per_code: int,
        block_frames: int,
        channels: int,
        tables: EntropyCoder | None = None,
    ) -> None:
        for name, value, highest in (
            ("num_codebooks", num_codebooks, 65535),
            ("bits_per_code", bits_per_code, MAX_BITS_PER_CODE),
            ("block_frames", block_frames, 65535),
            ("channels", channels, 255),
        ):
            if not 1 <= value <= highest:
                raise UsageError(f"{name} must lie in 1..{highest}, not {value}")
        if tables is not None and (
            num_codebooks > tables.num_codebooks or tables.codebook_size != 1 << bits_per_code
        ):
            raise CodecError(
                f"a stream of {num_codebooks} codebooks and {bits_per_code} bits a code does not fit the"
                f" model's entropy tables"
            )
        self.num_codebooks = num_codebooks
        self.bits_per_code = bits_per_code
        self.block_frames = block_frames
        self.channels = channels
        self._tables = tables
        # Those of the highest count, all codebooks.
        self._count_bits = num_codebooks.bit_length()

    def pack(self, codes: Codes, stored: bool = False) -> bytes:
        """Returns the payload of codes, entropy coded where that is shorter.

        Args:
            codes: [C, M', F] of any integer type, M' up to M and F from 1 to `block_frames`; -1 behind the
                last code that a frame of a channel sends.
            stored: send them raw in any case.

        Raises:
            UsageError: another shape or type, a code that does not fit into its bits, or one behind a -1.
        """
        codes = self._checked(codes)
        n = codebooks_sent(codes)
        constant = int(n[0, 0]) if n.min() == n.max() and n[0, 0] < _VARIES else _VARIES
        short = codes.shape[2] < self.block_frames
        mode = constant | (_SHORT if short else 0)
        coded = None
        if self._tables is not None and not stored:
            coded = self._tables.encode(codes, constant == _VARIES)
        if coded is not None and len(coded) < self._raw_bytes(n, constant):
            mode, body = mode | _CODED, coded
        else:
            body = self._pack_raw(codes, n, constant)
        return bytes([mode]) + (codes.shape[2].to_bytes(2) if short else b"") + body

    def unpack(self, payload: bytes) -> Codes:
        """Returns the codes int64 [C, M, F] of a payload, -1 where not sent.

        Codes are below 2**bits_per_code.

        Raises:
            CodecError: no codes pack to these bytes.
        """
        frames, constant, at = self._read_start(payload)
        if not payload[0] & _CODED:
            return self._unpack_raw(payload[at:], frames, constant)
        if self._tables is None:
            raise CodecError("the payload is entropy coded, and the model has no tables for that")
        shape = (self.channels, self.num_codebooks, frames)
        return self._tables.decode(payload[at:], shape, None if constant == _VARIES else constant)

    def unpack_all(self, payloads: Sequence[bytes]) -> list[Codes | CodecError]:
        """`unpack` of many payloads, faster than one by one; what it would raise is returned."""
        results: dict[int, Codes | CodecError] = {}
        bodies: dict[int, Body] = {}
        for index, payload in enumerate(payloads):
            try:
                if self._tables is None or not payload or not payload[0] & _CODED:
                    results[index] = self.unpack(payload)
                else:
                    frames, constant, at = self._read_start(payload)
                    bodies[index] = Body(payload[at:], frames, None if constant == _VARIES else constant)
            except CodecError as error:
                results[index] = error
        if self._tables is not None and bodies:
            found = self._tables.decode_all(list(bodies.values()), self.channels, self.num_codebooks)
            results.update(zip(bodies, found, strict=True))
        return [results[index] for index in range(len(payloads))]

    def peek(self, payload: bytes) -> tuple[int, int | None]:
        """Returns the frames of a payload and the number of codebooks of each, or None where that varies.

        No code is decoded for it, so that this takes no time.

        Raises:
            CodecError: no payload begins like this.
        """
        frames, constant, _ = self._read_start(payload)
        return frames, None if constant == _VARIES else constant

    def raw_index_bits(self, codes: Codes) -> int:
        """What the indices of codes [C, M', F] take before entropy coding: the sum of n x b over frames."""
        return int(np.count_nonzero(codes >= 0)) * self.bits_per_code

    def _checked(self, codes: Codes) -> Codes:
        channels, count, frames = codes.shape if codes.ndim == 3 else (0, 0, 0)
        if (channels, count > self.num_codebooks) != (self.channels, False) or not (
            1 <= frames <= self.block_frames
        ):
            shape = f"[{self.channels}, 0..{self.num_codebooks}, 1..{self.block_frames}]"
            raise UsageError(f"codes must be {shape}, not {list(codes.shape)}")
        if not np.issubdtype(codes.dtype, np.integer):
            raise UsageError(f"codes must be integers, not {codes.dtype}")
        low, high = (int(codes.min()), int(codes.max())) if count else (-1, -1)
        if low < -1 or high >> self.bits_per_code > 0:
            raise UsageError(
                f"codes must lie in 0..{(1 << self.bits_per_code) - 1}, or be -1, not {low}..{high}"
            )
        return codes.astype(np.int64)

    def _read_start(self, payload: bytes) -> tuple[int, int, int]:
        """The frames, the constant number of codebooks or _VARIES, and where the codes start."""
        if not payload:
            raise CodecError("a payload has at least one byte")
        constant, frames, at = payload[0] & _COUNT_MASK, self.block_frames, 1
        if payload[0] & _SHORT:
            frames, at = int.from_bytes(payload[1:3]), 3
            if len(payload) < at or not 1 <= frames < self.block_frames:
                raise CodecError(f"a short payload of {frames} frames where {self.block_frames} are full")
        if constant != _VARIES and constant > self.num_codebooks:
            raise CodecError(f"a payload of {constant} codebooks where the stream has {self.num_codebooks}")
        return frames, constant, at

    def _raw_bytes(self, n: Codes, constant: int) -> int:
        """The length of a raw body."""
        bits = int(n.sum()) * self.bits_per_code + (n.size * self._count_bits if constant == _VARIES else 0)
        return (bits + 7) // 8

    def _pack_raw(self, codes: Codes, n: Codes, constant: int) -> bytes:
        """Each frame of a channel as a row: its count where it varies, then its codes."""
        rows = codes.transpose(2, 0, 1).reshape(n.size, codes.shape[1])
        widths = np.where(rows >= 0, self.bits_per_code, 0)
        if constant == _VARIES:
            counts = n.T.reshape(-1, 1)
            rows = np.concatenate([counts, rows], axis=1)
            widths = np.concatenate([np.full_like(counts, self._count_bits), widths], axis=1)
        return _write_bits(rows.ravel(), widths.ravel())

    def _unpack_raw(self, data: bytes, frames: int, constant: int) -> Codes:
        bits = np.unpackbits(np.frombuffer(data, np.uint8))
        rows = frames * self.channels
        if constant == _VARIES:
            n, starts, used = self._read_counts(bits, rows)
        else:
            step = constant * self.bits_per_code
            n, starts, used = np.full(rows, constant), np.arange(rows) * step, rows * step
        if (used + 7) // 8 != len(data):
            raise CodecError(f"a payload with {len(data)} bytes of codes where {(used + 7) // 8} are due")
        if bits[used:].any():
            raise CodecError("the bits after the last code are not zero")
        codes = np.full((rows, self.num_codebooks), -1, np.int64)
        sent = np.arange(self.num_codebooks) < n[:, None]
        positions = starts[:, None] + np.arange(self.num_codebooks) * self.bits_per_code
        codes[sent] = _read_bits(bits, positions[sent], self.bits_per_code)
        return np.ascontiguousarray(
            codes.reshape(frames, self.channels, self.num_codebooks).transpose(1, 2, 0)
        )

    def _read_counts(self, bits: _Bits, rows: int) -> tuple[Codes, Codes, int]:
        """The count of each row, where its codes start, and where the last of them ends, in bits."""
        width = self._count_bits
        known = _read_bits(bits, np.arange(max(len(bits) - width + 1, 0)), width).tolist()
        counts, starts, at = [], [], 0
        for _ in range(rows):
            if at >= len(known) or known[at] > self.num_codebooks:
                raise CodecError("the payload tells an impossible number of codebooks, or ends before it")
            counts.append(known[at])
            starts.append(at + width)
            at = starts[-1] + counts[-1] * self.bits_per_code
        return np.array(counts), np.array(starts), at


def _write_bits(values: Codes, widths: Codes) -> bytes:
    """Values one after the other, each in so many bits, most significant first; zeros fill the last byte."""
    ends = np.cumsum(widths)
    shifts = np.repeat(ends, widths) - 1 - np.arange(int(widths.sum()))
    bits = (np.repeat(values, widths) >> shifts) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _read_bits(bits: _Bits, positions: Codes, width: int) -> Codes:
    """The numbers of `width` bits, most significant first, that start at the positions."""
    values = np.zeros(len(positions), np.int64)
    for offset in range(width):
        values = (values << 1) | bits[positions + offset]
    return values
