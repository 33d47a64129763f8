"""A model in one of its rate modes, as something with the two calls of ``codec.Codec``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codec.api import Codec
from codec.evaluation.evaluate import CodecLike, Setting
from codec.streaming import Mode, StreamEncoder


class ModeCodec:
    """Encodes with an average rate or a constant quality instead of a constant rate.

    Args:
        codec: the model.
        mode: ``abr`` or ``vbr``.
        quality: 0 to 10, with ``vbr``.
    """

    def __init__(self, codec: Codec, mode: Mode, quality: float | None) -> None:
        self._codec = codec
        self._mode: Mode = mode
        self._quality = quality

    def encode(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        bitrate: float | None = None,
        num_codebooks: int | None = None,
    ) -> bytes:
        """Encode audio [T] or [T, C] to the bytes of a file; arguments and errors as in ``Codec.encode``."""
        frames = audio.reshape(len(audio), -1)
        encoder = StreamEncoder(
            self._codec.model,
            sample_rate,
            frames.shape[1],
            bitrate,
            num_codebooks=num_codebooks,
            mode=self._mode,
            quality=self._quality,
        )
        return b"".join(encoder.push(frames) + encoder.flush())

    def decode(self, data: bytes) -> tuple[NDArray[np.float32], int]:
        """Decode the bytes of a file to audio [T] or [T, C] and its sample rate in Hz."""
        return self._codec.decode(data)


def codec_for(codec: Codec, setting: Setting) -> CodecLike:
    """The codec that a setting asks for."""
    return codec if setting.mode == "cbr" else ModeCodec(codec, setting.mode, setting.quality)


def mode_settings(mode: Mode, bitrates: Sequence[float], qualities: Sequence[float]) -> list[Setting]:
    """The operating points of one mode: a quality each for ``vbr``, a bitrate each for the others."""
    if mode == "vbr":
        return [Setting(mode=mode, quality=quality) for quality in qualities]
    return [Setting(bitrate=bitrate, mode=mode) for bitrate in bitrates]
