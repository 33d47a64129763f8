"""PCM samples as bytes: the formats of raw audio and of WAV, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.errors import CodecError, UsageError

Samples = NDArray[np.float32]

MAX_CHANNELS = 32
MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 192_000
# Far beyond full scale, and far from where filters would overflow.
_ABSURD = 1e6

# Bytes a sample. Integers are little-endian and signed, but for the 8-bit ones, which are unsigned as in WAV.
SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}


@dataclass(frozen=True)
class RawFormat:
    """Headerless PCM, channels interleaved.

    Args:
        sample_rate: samples a second and channel, 8000 to 192000.
        channels: 1 to 32.
        subtype: `"u8"`, `"s16le"`, `"s24le"`, `"s32le"`, `"f32le"` or `"f64le"`.

    Raises:
        UsageError: a value is outside of these.
    """

    sample_rate: int
    channels: int
    subtype: str = "s16le"

    def __post_init__(self) -> None:
        if self.subtype not in SAMPLE_BYTES:
            raise UsageError(
                f"raw samples cannot be {self.subtype!r}; choose one of {', '.join(SAMPLE_BYTES)}"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"sound cannot have {self.channels} channels; give 1 to {MAX_CHANNELS}")
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise UsageError(
                f"sound cannot have {self.sample_rate} Hz; give {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return SAMPLE_BYTES[self.subtype] * self.channels


def quantize(pcm: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Round samples to signed integers of `bits` bits, half to even, saturating at both ends.

    Args:
        pcm: float32, full scale is -1 to 1; any shape.
    """
    # float64 holds a full-scale 32-bit integer exactly, float32 would round it up and overflow.
    full_scale = 2.0 ** (bits - 1)
    rounded = np.rint(pcm.astype(np.float64) * full_scale)
    return np.clip(rounded, -full_scale, full_scale - 1.0).astype(np.int32)


def count_clipped(pcm: NDArray[np.float32]) -> int:
    """The number of samples at full scale, where clipping left them, or beyond."""
    return int(np.count_nonzero(np.abs(pcm) >= 1.0))


def to_bytes(pcm: NDArray[np.float32], subtype: str) -> bytes:
    """Samples `[n, C]` as interleaved bytes; integers are rounded and saturated, floats kept as they are."""
    if subtype == "f32le":
        return pcm.astype("<f4").tobytes()
    if subtype == "f64le":
        return pcm.astype("<f8").tobytes()
    if subtype == "u8":
        return (quantize(pcm, 8) + 128).astype(np.uint8).tobytes()
    if subtype == "s24le":
        words = np.ascontiguousarray(quantize(pcm, 24).astype("<i4"))
        return words.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    if subtype == "s16le":
        return quantize(pcm, 16).astype("<i2").tobytes()
    return quantize(pcm, 32).astype("<i4").tobytes()


def from_bytes(data: bytes, subtype: str, channels: int) -> NDArray[np.float32]:
    """Interleaved bytes of whole frames as float32 samples `[n, C]`, integers scaled to -1 to 1."""
    if subtype == "f32le":
        samples = np.frombuffer(data, "<f4").astype(np.float32)
    elif subtype == "f64le":
        samples = np.frombuffer(data, "<f8").astype(np.float32)
    elif subtype == "u8":
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / np.float32(2**7)
    elif subtype == "s24le":
        # The three bytes become the upper ones of a 32-bit word, which brings the sign along.
        words = np.zeros((len(data) // 3, 4), np.uint8)
        words[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = (words.view("<i4")[:, 0] >> 8).astype(np.float32) / np.float32(2**23)
    elif subtype == "s16le":
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    else:
        samples = np.frombuffer(data, "<i4").astype(np.float32) / np.float32(2**31)
    return samples.reshape(-1, channels)


def as_frames(pcm: Samples, channels: int | None = None) -> Samples:
    """Check audio ``[T]`` or ``[T, C]`` and give it as float32 ``[T, C]``.

    Args:
        pcm: floating-point samples, full scale at 1.
        channels: C, where it is known.

    Raises:
        UsageError: another shape or number of channels, or integers, whose full scale is unknown.
        CodecError: NaN, infinite, or absurdly large samples.
    """
    array = np.asarray(pcm)
    if array.dtype.kind != "f":
        raise UsageError(f"audio must be floating-point with full scale at 1, not {array.dtype}")
    frames = array.astype(np.float32, copy=False)
    frames = frames[:, None] if frames.ndim == 1 and channels in (None, 1) else frames
    if frames.ndim != 2 or not frames.shape[1] or channels not in (None, frames.shape[1]):
        wanted = "C" if channels is None else channels
        raise UsageError(f"audio must be [samples, {wanted}], not {list(array.shape)}")
    if not (np.abs(frames) < _ABSURD).all():
        raise CodecError("the audio holds NaN, infinite or absurdly large samples: repair it before encoding")
    return frames
