"""Batches of training segments that are cut and varied on the device that trains, without waiting for it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.training.augment import BLOCK, MARGIN, PEAK, TAPER, TONE_POINTS, AugmentConfig
from codec.training.device_clips import DeviceClips, to_device
from codec.training.hum import DRAWS, mains_hum
from codec.training.reverb import reverberate, room_responses
from codec.training.segments import SegmentBatch
from codec.training.store import ClipStore


class DeviceSegments:
    """Random segments of clips on a device: a batch is a pure function of seed and the number of its first.

    What `SegmentDataset` makes one by one, drawn from the same distributions, but for this: the segments of a
    batch whose speed is changed share one factor.

    store: the clips. segment_samples: T. noise: sound for noise augmentation. device: where it all happens.
    Raises CodecError as `DeviceClips` does.
    """

    def __init__(
        self,
        store: ClipStore,
        segment_samples: int,
        seed: int,
        augment: AugmentConfig,
        noise: ClipStore | None,
        device: torch.device,
    ) -> None:
        self.segment_samples = segment_samples
        self.seed = seed
        self.augment = augment
        self._sample_rate = store.sample_rate
        self.clips = DeviceClips(store, device)
        self.noise = None if noise is None else DeviceClips(noise, device)

    def batch(self, start: int, size: int) -> SegmentBatch:
        """Segments [start, start + size), float32 [size, T]; a batch that begins elsewhere has others."""
        rng = np.random.default_rng([self.seed, start])
        clean = self._clean(size, rng)
        if self.augment.reverb_probability > 0.0:
            clean = self._in_rooms(clean, rng)
        noisy = clean if self.noise is None else clean + self._noise(clean, self.noise, rng)
        if self.augment.hum_probability > 0.0:
            noisy = noisy + self._hum(clean, rng)
        if self.augment.clip_probability > 0.0:
            noisy = self._clipped(noisy, rng)
        heard, gain = turn_up(noisy, self._send(rng.uniform(*self.augment.gain_db, size)))
        return SegmentBatch(heard, heard if self.augment.noise_in_target else clean * gain)

    def _clean(self, size: int, rng: np.random.Generator) -> Tensor:
        """Segments [size, T] at their speed and with their frequency response."""
        config = self.augment
        faster = int(rng.binomial(size, config.speed_probability))
        groups = [(faster, rng.uniform(*config.speed)), (size - faster, 1.0)]
        return torch.cat([self._group(rows, factor, rng) for rows, factor in groups if rows])

    def _group(self, rows: int, factor: float, rng: np.random.Generator) -> Tensor:
        """Segments [rows, T] of one speed."""
        config = self.augment
        if factor == 1.0 and config.equalize_probability == 0.0:
            return self.clips.cut(self.clips.draw(rows, self.segment_samples, rng), self.segment_samples)
        num_out = self.segment_samples + 2 * MARGIN
        num_in = BLOCK * round(num_out * factor / BLOCK)
        x = self.clips.cut(self.clips.draw(rows, num_in, rng), num_in)
        chosen = rng.random((rows, 1)) < config.equalize_probability
        response = chosen * rng.uniform(-config.equalize_db, config.equalize_db, (rows, TONE_POINTS))
        return warp(x, num_out, self._send(response))[:, MARGIN : MARGIN + self.segment_samples]

    def _in_rooms(self, clean: Tensor, rng: np.random.Generator) -> Tensor:
        """Segments [B, T], some of them in a room."""
        size, config, device = len(clean), self.augment, self.clips.device
        length = math.ceil(config.reverb_seconds[1] * self._sample_rate)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(size, length, generator=generator, device=device)
        seconds = self._send(rng.uniform(*config.reverb_seconds, size))
        chosen = rng.random(size) < config.reverb_probability
        ratio_db = self._send(np.where(chosen, rng.uniform(*config.reverb_ratio_db, size), np.inf))
        return reverberate(clean, room_responses(noise, seconds, ratio_db, self._sample_rate))

    def _clipped(self, sound: Tensor, rng: np.random.Generator) -> Tensor:
        """Segments [B, T], some of them cut off beyond a share of their peak."""
        size, config = len(sound), self.augment
        chosen = rng.random(size) < config.clip_probability
        share = self._send(np.where(chosen, rng.uniform(*config.clip_share, size), 1.0))
        top = share.unsqueeze(1) * sound.abs().amax(dim=1, keepdim=True)
        return torch.minimum(torch.maximum(sound, -top), top)

    def _noise(self, clean: Tensor, noise: DeviceClips, rng: np.random.Generator) -> Tensor:
        """Noise [B, T] at its level beside the segments `clean`, zero for those that get none."""
        size, config = len(clean), self.augment
        sound = noise.cut(noise.draw(size, self.segment_samples, rng), self.segment_samples, repeat=True)
        chosen = rng.random(size) < config.noise_probability
        level = chosen * 10.0 ** (-rng.uniform(*config.noise_snr_db, size) / 20.0)
        return sound * level_beside(clean, sound) * self._send(level).unsqueeze(1)

    def _hum(self, clean: Tensor, rng: np.random.Generator) -> Tensor:
        """Hum [B, T] at its level beside the segments `clean`, zero for those that get none."""
        size, config = len(clean), self.augment
        hum = mains_hum(self._send(rng.random((size, DRAWS))), self.segment_samples, self._sample_rate)
        chosen = rng.random(size) < config.hum_probability
        level = chosen * 10.0 ** (-rng.uniform(*config.hum_ratio_db, size) / 20.0)
        return hum * level_beside(clean, hum) * self._send(level).unsqueeze(1)

    def _send(self, array: np.ndarray) -> Tensor:
        return to_device(array.astype(np.float32), self.clips.device)


def level_beside(x: Tensor, noise: Tensor) -> Tensor:
    """The factors [B, 1] that bring `noise` [B, T] to the energy of `x` [B, T]; 0 where either is silent."""
    energy, noise_energy = x.square().sum(1, keepdim=True), noise.square().sum(1, keepdim=True)
    ratio = energy / noise_energy.clamp_min(torch.finfo(x.dtype).tiny)
    return torch.where(noise_energy > 0, ratio.sqrt(), 0.0)


def turn_up(x: Tensor, gain_db: Tensor) -> tuple[Tensor, Tensor]:
    """Change the level of `x` [B, T] by `gain_db` [B], or by less where its peak would exceed `PEAK`.

    Returns the louder or quieter segments and the factors [B, 1].
    """
    peak = x.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    gain = torch.minimum(10.0 ** (gain_db.unsqueeze(1) / 20.0), PEAK / peak)
    return x * gain, gain


def warp(x: Tensor, num_out: int, response_db: Tensor) -> Tensor:
    """Resample `x` [B, T] to [B, num_out] and apply frequency responses, as `speed_and_tone` does one by one.

    response_db: gains in dB [B, P] at points spaced evenly from 0 Hz to half the rate of the output.
    """
    ramp = torch.sin(torch.linspace(0.0, torch.pi / 2.0, TAPER, device=x.device)).square()
    fade = torch.cat([ramp, ramp.new_ones(x.shape[1] - 2 * TAPER), ramp.flip(0)])
    bins = num_out // 2 + 1
    spectrum = torch.fft.rfft(x * fade)[:, :bins]
    spectrum = F.pad(spectrum, (0, bins - spectrum.shape[1]))
    curve = F.interpolate(response_db.unsqueeze(1), bins, mode="linear", align_corners=True).squeeze(1)
    warped: Tensor = torch.fft.irfft(spectrum * 10.0 ** (curve / 20.0), num_out) * (num_out / x.shape[1])
    return warped
