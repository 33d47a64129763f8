"""Playback: what lies between codes and audio at the rate of the stream, gaps and the exact end included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.bitstream.header import StreamHeader
from codec.engine import Engine
from codec.errors import UsageError
from codec.resample import Resampler

Pcm = NDArray[np.float32]

# Audio comes in pieces of this many frames at most: the length of a block or a gap is what the stream claims.
_PIECE_FRAMES = 256


@dataclass(frozen=True)
class Damage:
    """A span of the decoded audio that was concealed; of no length where only stray bytes were skipped."""

    start_seconds: float
    seconds: float
    reason: str


def as_codes(codes: NDArray[np.int64]) -> Tensor:
    """Codes ``[M, F]`` or ``[C, M, F]`` of any integer type as an int64 tensor ``[C, M, F]``.

    Raises:
        UsageError: they are no integers, or of another shape.
    """
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" or array.ndim not in (2, 3):
        raise UsageError(
            f"codes must be integers [M, F] or [C, M, F], not {array.dtype} of shape {list(array.shape)}"
        )
    tensor = torch.from_numpy(array.astype(np.int64))
    return tensor if tensor.ndim == 3 else tensor.unsqueeze(0)


class Playback:
    """Turns codes into audio at the rate of the stream.

    Args:
        engine: of the model.
        header: of the stream.
        hold: keep a frame back, so that the end can be cut where the footer says.
    """

    def __init__(self, engine: Engine, header: StreamHeader, hold: bool) -> None:
        self.channels = header.channels
        self._engine = engine
        self._header = header
        self._states = [engine.start_decoder() for _ in range(header.channels)]
        self._resampler = Resampler(header.coded_rate, header.sample_rate, header.channels)
        self._to_drop = engine.model.delay
        self._frames = 0
        self._emitted = 0
        self._last: Tensor | None = None  # the last frame's codes, while a gap behind it could fade out
        self._held = np.zeros((0, header.channels), np.float32)
        # The encoder filled its last hop up, so that less than a hop lies behind the end.
        self._hold = -(-header.hop * header.sample_rate // header.coded_rate) if hold else 0

    def decode(self, codes: Tensor) -> Iterator[Pcm]:
        """Codes ``[C, M, F]`` to the next audio, in pieces ``[n, C]`` of bounded length."""
        for start in range(0, codes.shape[2], _PIECE_FRAMES):
            part, audio = codes[:, :, start : start + _PIECE_FRAMES], []
            for channel, state in enumerate(self._states):
                channel_audio, self._states[channel] = self._engine.synthesize(part[channel], state)
                audio.append(channel_audio.cpu())
            self._last = part[:, :, -1:]
            yield self._emit(audio, part.shape[2])

    def conceal(self, frames: int) -> Iterator[Pcm]:
        """Audio in place of ``frames`` lost frames, in pieces ``[n, C]`` of bounded length."""
        for start in range(0, frames, _PIECE_FRAMES):
            count = min(_PIECE_FRAMES, frames - start)
            audio = self._silence(count) if self._last is None else self._fade(self._last, count)
            self._last = None
            yield self._emit(audio, count)

    def _fade(self, last: Tensor, frames: int) -> list[Tensor]:
        audio = []
        for channel, state in enumerate(self._states):
            channel_audio, self._states[channel] = self._engine.conceal(last[channel], state, frames)
            audio.append(channel_audio.cpu())
        return audio

    def _silence(self, frames: int) -> list[Tensor]:
        return [torch.zeros(frames * self._header.hop)] * self._header.channels

    def span(self, frames: int, reason: str) -> Damage:
        """The place of ``frames`` lost frames that come next, in the audio that is played."""
        seconds = self._header.hop / self._header.coded_rate
        delay = self._engine.model.delay / self._header.coded_rate
        return Damage(max(self._frames * seconds - delay, 0.0), frames * seconds, reason)

    def finish(self, num_samples: int | None) -> Pcm:
        """The rest of the audio: up to ``num_samples`` in all, or all that was sent where no footer tells."""
        held = np.concatenate([self._held, self._resampler.flush()])
        if num_samples is None:
            return held
        missing = num_samples - self._emitted
        # Only damage leaves fewer samples than the footer states; the clock stays right all the same.
        return np.pad(held[: max(missing, 0)], ((0, max(missing - len(held), 0)), (0, 0)))

    def _emit(self, audio: list[Tensor], frames: int) -> Pcm:
        self._frames += frames
        samples = torch.stack(audio, dim=1).numpy()
        dropped = min(self._to_drop, len(samples))
        self._to_drop -= dropped
        ready = np.concatenate([self._held, self._resampler.push(samples[dropped:])])
        keep = max(len(ready) - self._hold, 0)
        self._held = ready[keep:]
        self._emitted += keep
        return ready[:keep]
