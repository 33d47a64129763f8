"""How the codes of a block become bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from codec.bitstream.codes import MAX_BITS_PER_CODE, Codes, bits_per_code
from codec.errors import CodecError, UsageError

__all__ = ["MAX_BITS_PER_CODE", "CodePacking", "Codes", "FrameCoder", "bits_per_code"]


class FrameCoder(Protocol):
    """Turns the codes of one block into its payload and back; blocks know nothing of each other."""

    def num_bytes(self, channels: int, frames: int) -> int:
        """Returns the payload's size in bytes for F frames of C channels."""

    def pack(self, codes: Codes) -> bytes:
        """Returns the payload for codes [C, M, F]; raises UsageError for codes it cannot carry."""

    def unpack(self, data: bytes, channels: int, frames: int) -> Codes:
        """Returns the codes [C, M, F] of a payload; raises CodecError if no codes pack to it."""


@dataclass(frozen=True)
class CodePacking:
    """Fixed-length packing: every code takes exactly `bits_per_code` bits, most significant bit first.

    Codes follow each other frame by frame, in a frame channel by channel, in a channel codebook by codebook;
    zero bits fill the last byte of a payload.

    Attributes:
        num_codebooks: M, at least 1.
        bits_per_code: 1 to 16; the codes lie in 0 .. 2**bits_per_code - 1.
    """

    num_codebooks: int
    bits_per_code: int

    def __post_init__(self) -> None:
        if self.num_codebooks < 1:
            raise UsageError(f"num_codebooks must be at least 1, not {self.num_codebooks}")
        if not 1 <= self.bits_per_code <= MAX_BITS_PER_CODE:
            raise UsageError(f"bits_per_code must lie in 1..{MAX_BITS_PER_CODE}, not {self.bits_per_code}")

    def num_bits(self, channels: int, frames: int) -> int:
        """Returns the bits that F frames of C channels take before the last byte is filled."""
        return frames * channels * self.num_codebooks * self.bits_per_code

    def num_bytes(self, channels: int, frames: int) -> int:
        """Returns the payload's size in bytes for F frames of C channels."""
        return (self.num_bits(channels, frames) + 7) // 8

    def pack(self, codes: Codes) -> bytes:
        """Packs codes into a payload.

        Args:
            codes: [C, M, F], of any integer type.

        Raises:
            UsageError: the codes have another shape or type, or one does not fit into its bits.
        """
        if codes.ndim != 3 or codes.shape[1] != self.num_codebooks:
            shape = f"[channels, {self.num_codebooks}, frames]"
            raise UsageError(f"codes must be {shape}, not {list(codes.shape)}")
        if not np.issubdtype(codes.dtype, np.integer):
            raise UsageError(f"codes must be integers, not {codes.dtype}")
        if codes.size == 0:
            return b""
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >> self.bits_per_code:
            raise UsageError(f"codes must lie in 0..{(1 << self.bits_per_code) - 1}, not {low}..{high}")
        words = codes.transpose(2, 0, 1).reshape(-1, 1).astype(">u2")
        bits = np.unpackbits(words.view(np.uint8), axis=1)
        return np.packbits(bits[:, MAX_BITS_PER_CODE - self.bits_per_code :]).tobytes()

    def unpack(self, data: bytes, channels: int, frames: int) -> Codes:
        """Unpacks a payload into codes int64 [C, M, F], each below 2**bits_per_code.

        The size of a codebook need not be a power of two and is not part of the bitstream: whoever holds the
        model checks the codes against it.

        Raises:
            CodecError: the payload has another size, or its last byte is not filled with zero bits.
        """
        if len(data) != self.num_bytes(channels, frames):
            raise CodecError(f"a payload of {len(data)} bytes cannot hold {frames} frames")
        used = self.num_bits(channels, frames)
        flat = np.unpackbits(np.frombuffer(data, np.uint8))
        if flat[used:].any():
            raise CodecError("the bits after the last code are not zero")
        bits = np.zeros((used // self.bits_per_code, MAX_BITS_PER_CODE), np.uint8)
        bits[:, MAX_BITS_PER_CODE - self.bits_per_code :] = flat[:used].reshape(-1, self.bits_per_code)
        words = np.packbits(bits, axis=1).view(">u2").reshape(frames, channels, self.num_codebooks)
        return np.ascontiguousarray(words.transpose(1, 2, 0), dtype=np.int64)
