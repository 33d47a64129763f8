"""Audio to latent frames, piece by piece: what every encoding begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.dc_blocker import DcBlocker
from codec.engine import Engine
from codec.pcm import Samples, as_frames
from codec.resample import Resampler


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of all channels: normalized latents ``z`` ``[C, D, F]``, and ``energy`` ``[C, F]``, the mean
    square of their audio, which the normalized latents no longer tell."""

    z: Tensor
    energy: NDArray[np.float64]

    def __len__(self) -> int:
        """F."""
        return self.z.shape[2]

    def split(self, count: int) -> tuple[Frames, Frames]:
        """The first ``count`` frames, and the others; copies, lest a view keep all of them alive."""
        head = Frames(self.z[..., :count].clone(), self.energy[:, :count].copy())
        return head, Frames(self.z[..., count:].clone(), self.energy[:, count:].copy())

    def join(self, others: Frames) -> Frames:
        """These frames and others behind them."""
        energy = np.concatenate([self.energy, others.energy], axis=1)
        return Frames(torch.cat([self.z, others.z], dim=2), energy)


class LatentStream:
    """Resamples one stream, takes direct current out, and encodes it into latents; holds its state.

    Args:
        engine: of the model.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio.

    Attributes:
        samples: pushed so far, a channel.
    """

    def __init__(self, engine: Engine, sample_rate: int, channels: int) -> None:
        self.samples = 0
        self._engine = engine
        self._channels = channels
        self._resampler = Resampler(sample_rate, engine.model.config.sample_rate, channels)
        self._blocker = DcBlocker(engine.model.config.sample_rate, channels)
        self._states = [engine.start_encoder() for _ in range(channels)]
        self._pending = np.zeros((0, channels), np.float32)
        self._coded = 0  # samples at the model's rate that have become frames

    @property
    def delay(self) -> float:
        """How far the resampler looks ahead, in seconds."""
        return self._resampler.delay

    def push(self, pcm: Samples) -> Frames:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return the frames that it completes.

        Raises:
            CodecError: the audio holds NaN, infinite or absurd samples.
            UsageError: it is not float32 of that shape.
        """
        pcm = as_frames(pcm, self._channels)
        self.samples += len(pcm)
        return self._take(self._blocker.push(self._resampler.push(pcm)))

    def flush(self) -> Frames:
        """End the audio, and return the frames that are left, the last filled up with silence."""
        model = self._engine.model
        frames = self._take(self._blocker.push(self._resampler.flush()))
        wanted = model.num_frames(self._coded + len(self._pending)) * model.config.hop
        padding = wanted - self._coded - len(self._pending)
        return frames.join(self._take(np.zeros((padding, self._channels), np.float32)))

    def _take(self, audio: Samples) -> Frames:
        """The frames of all whole hops of pending and new audio ``[n, C]`` at the model's rate."""
        config = self._engine.model.config
        pending = np.concatenate([self._pending, audio])
        whole = len(pending) // config.hop * config.hop
        self._pending = pending[whole:].copy()
        self._coded += whole
        if not whole:
            empty = torch.zeros(self._channels, config.dim, 0, device=self._engine.device)
            return Frames(empty, np.zeros((self._channels, 0)))
        z = []
        for channel in range(self._channels):
            samples = torch.from_numpy(np.ascontiguousarray(pending[:whole, channel]))
            latents, self._states[channel] = self._engine.latents(samples, self._states[channel])
            z.append(latents)
        hops = pending[:whole].astype(np.float64).reshape(-1, config.hop, self._channels)
        return Frames(torch.stack(z), np.square(hops).mean(axis=1).T)
