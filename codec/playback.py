"""Playback: what lies between codes and audio at the rate of the stream, gaps and the exact end included."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.bitstream.header import StreamHeader
from codec.conceal import Concealer
from codec.damage import Damage
from codec.engine import Engine
from codec.errors import UsageError
from codec.resample import Resampler

Pcm = NDArray[np.float32]

# Audio comes in pieces of this many frames at most: the length of a block or a gap is what the stream claims.
_PIECE_FRAMES = 256


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
    """Turns codes into audio at the rate of the stream, within full scale: no sample lies beyond -1 or 1.

    Args:
        engine: of the model.
        header: of the stream.
        hold: keep a frame back, so that the end can be cut where the footer says.
        position: number of the frame in the stream that comes first.
        origin: number of the sample that is played first; at the model's rate it is a whole number too.
    """

    def __init__(
        self, engine: Engine, header: StreamHeader, hold: bool, position: int = 0, origin: int = 0
    ) -> None:
        self.channels = header.channels
        self._engine = engine
        self._header = header
        self._states = [engine.start_decoder() for _ in range(header.channels)]
        model, landmarks = engine.model, engine.landmarks()
        self._silence = landmarks.silence
        self._concealers = [
            Concealer(landmarks, model.frame_rate, model.decoder.memory, position)
            for _ in range(header.channels)
        ]
        self._resampler = Resampler(header.coded_rate, header.sample_rate, header.channels)
        coded_origin = origin * header.coded_rate // header.sample_rate
        self._to_drop = coded_origin + model.delay - position * header.hop
        self._frames = position
        self._emitted = origin
        self._held = np.zeros((0, header.channels), np.float32)
        # The encoder filled its last hop up, so that less than a hop lies behind the end.
        self._hold = -(-header.hop * header.sample_rate // header.coded_rate) if hold else 0

    def decode(self, codes: Tensor) -> Iterator[Pcm]:
        """Codes ``[C, M, F]`` to the next audio, in pieces ``[n, C]`` of bounded length."""
        for start in range(0, codes.shape[2], _PIECE_FRAMES):
            part = codes[:, :, start : start + _PIECE_FRAMES]
            yield self._emit([self._play(channel, part[channel]) for channel in range(self.channels)])

    def conceal(self, frames: int, following: Tensor | None = None) -> Iterator[Pcm]:
        """Audio in place of ``frames`` lost frames, in pieces ``[n, C]`` of bounded length.

        Args:
            frames: how many; a gap may be told in parts.
            following: codes ``[C, M, F]`` of the frames behind them, where they have arrived.
        """
        heard = min(frames, self._concealers[0].audible_left)
        if heard:
            beside = following if heard == frames else None
            yield self._emit([self._bridge(channel, heard, beside) for channel in range(self.channels)])
        for start in range(heard, frames, _PIECE_FRAMES):
            count = min(_PIECE_FRAMES, frames - start)
            for concealer in self._concealers:
                concealer.skip(count)
            yield self._emit([torch.zeros(count * self._header.hop)] * self.channels)

    def span(self, frames: int, reason: str, ahead: int = 0) -> Damage:
        """The place of ``frames`` lost frames that come next, or ``ahead`` frames later, in the audio."""
        seconds = self._header.hop / self._header.coded_rate
        delay = self._engine.model.delay / self._header.coded_rate
        start = max((self._frames + ahead) * seconds - delay, 0.0)
        return Damage(start, frames * seconds, reason, start + frames * seconds)

    def finish(self, num_samples: int | None) -> Pcm:
        """The rest of the audio: up to ``num_samples`` in all, or all that was sent where no footer tells."""
        held = np.concatenate([self._held, _within_scale(self._resampler.flush())])
        if num_samples is None:
            return held
        missing = num_samples - self._emitted
        # Only damage leaves fewer samples than the footer states; the clock stays right all the same.
        return np.pad(held[: max(missing, 0)], ((0, max(missing - len(held), 0)), (0, 0)))

    def _play(self, channel: int, codes: Tensor) -> Tensor:
        """Audio ``[F * hop]`` of codes ``[M, F]``."""
        concealer, hop = self._concealers[channel], self._header.hop
        z = self._latents(codes)
        audio, self._states[channel] = self._engine.play(z, self._states[channel])
        audio = audio.cpu()
        if concealer.gain < 1:
            ramp = torch.linspace(concealer.gain, 1, hop)
            audio = torch.cat([audio[:hop] * ramp, audio[hop:]])
        concealer.heard(z)
        return audio

    def _bridge(self, channel: int, frames: int, following: Tensor | None) -> Tensor:
        """Audio ``[frames * hop]`` of a gap before frames with codes ``[C, M, F]``."""
        concealer = self._concealers[channel]
        beside = None if following is None else self._latents(following[channel, :, :1])[:, 0]
        gains = concealer.gains(frames, self._header.hop)
        z = concealer.conceal(frames, beside)
        audio, self._states[channel] = self._engine.play(z, self._states[channel])
        return audio.cpu() * gains

    def _latents(self, codes: Tensor) -> Tensor:
        """Latents ``[D, F]`` of codes ``[M, F]``; silence where no codebook was sent, nor noise drawn."""
        sent = (codes[0] >= 0).to(self._silence.device)
        return torch.where(sent, self._engine.dequantize(codes), self._silence.unsqueeze(1))

    def _emit(self, audio: list[Tensor]) -> Pcm:
        samples = torch.stack(audio, dim=1).numpy()
        self._frames += len(samples) // self._header.hop
        dropped = min(self._to_drop, len(samples))
        self._to_drop -= dropped
        ready = np.concatenate([self._held, _within_scale(self._resampler.push(samples[dropped:]))])
        keep = max(len(ready) - self._hold, 0)
        self._held = ready[keep:]
        self._emitted += keep
        return ready[:keep]


def _within_scale(pcm: Pcm) -> Pcm:
    """Cut what the decoder or the resampler overshoots by, as every format of integers would."""
    return np.clip(pcm, -1.0, 1.0)
