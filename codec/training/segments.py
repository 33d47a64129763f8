"""Training segments, each a pure function of seed and index."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from codec.training.augment import (
    BLOCK,
    MARGIN,
    TONE_POINTS,
    AugmentConfig,
    noise_factor,
    random_gain,
    speed_and_tone,
)
from codec.training.clips import Samples
from codec.training.hum import DRAWS, mains_hum
from codec.training.reverb import reverberate, room_responses
from codec.training.spans import RandomSpans, is_active
from codec.training.store import ClipStore

_MAX_DRAWS = 8  # of one segment until it is not silent; a source of silence alone still gives segments


class SegmentBatch(NamedTuple):
    """input: what the codec hears; target: what it should give back; both float32 [B, T]."""

    input: torch.Tensor
    target: torch.Tensor


class Segments(Protocol):
    """An endless list of segments, of which batches can be had."""

    def batch(self, start: int, size: int) -> SegmentBatch:
        """Segments [start, start + size), alike each time they are asked for."""


class SegmentDataset(Dataset[tuple[Samples, Samples]]):
    """Random segments of a store of clips: item i is a pure function of (seed, i), for any i >= 0.

    store: the clips, drawn by length times weight. segment_samples: T. noise: sound for noise augmentation.
    A clip shorter than T is padded with zeros at a random offset; a segment that is mostly silent is drawn
    again, a few times at most. Raises CodecError where every clip of `store` or `noise` has weight 0.
    """

    def __init__(
        self,
        store: ClipStore,
        segment_samples: int,
        seed: int,
        augment: AugmentConfig | None = None,
        noise: ClipStore | None = None,
    ) -> None:
        self.store = store
        self.segment_samples = segment_samples
        self.seed = seed
        self.augment = augment
        self.noise = noise
        self._spans = RandomSpans(store)
        self._noise_spans = None if noise is None else RandomSpans(noise)

    def __getitem__(self, index: int) -> tuple[Samples, Samples]:
        """Input and target of segment `index`, each float32 [T]."""
        rng = np.random.default_rng([self.seed, index])
        for _ in range(_MAX_DRAWS):
            clean, active = self._draw(rng)
            if active:
                break
        if self.augment is None:
            return clean, clean
        return self._degrade(clean, self.augment, rng)

    def batch(self, start: int, size: int) -> SegmentBatch:
        """Segments [start, start + size) as one batch."""
        inputs, targets = zip(*(self[index] for index in range(start, start + size)), strict=True)
        return SegmentBatch(torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets)))

    def _draw(self, rng: np.random.Generator) -> tuple[Samples, bool]:
        """One candidate float32 [T], and whether enough of it is more than silence."""
        config = self.augment
        factor, response = 1.0, None
        if config is not None:
            if rng.random() < config.speed_probability:
                factor = rng.uniform(*config.speed)
            if rng.random() < config.equalize_probability:
                response = rng.uniform(-config.equalize_db, config.equalize_db, TONE_POINTS)
        if factor == 1.0 and response is None:
            span = self._spans.draw(self.segment_samples, rng)
            return _pad(span, self.segment_samples, rng), is_active(span, self.store.sample_rate)
        num_out = self.segment_samples + 2 * MARGIN
        num_in = BLOCK * round(num_out * factor / BLOCK)
        span = self._spans.draw(num_in, rng)
        warped = speed_and_tone(_pad(span, num_in, rng), num_out, response)
        return warped[MARGIN : MARGIN + self.segment_samples], is_active(span, self.store.sample_rate)

    def _degrade(
        self, clean: Samples, config: AugmentConfig, rng: np.random.Generator
    ) -> tuple[Samples, Samples]:
        """A room, noise, hum, clipping, gain, in this order, for clean float32 [T] -> input, target."""
        # Drawn only where it is asked for: segments of older recipes stay what they were.
        if config.reverb_probability > 0.0 and rng.random() < config.reverb_probability:
            clean = self._in_a_room(clean, config, rng)
        noisy = clean
        if self._noise_spans is not None and rng.random() < config.noise_probability:
            # A noise clip shorter than the segment is repeated.
            noise = np.resize(self._noise_spans.draw(self.segment_samples, rng), self.segment_samples)
            noisy = clean + np.float32(noise_factor(clean, noise, rng.uniform(*config.noise_snr_db))) * noise
        if config.hum_probability > 0.0 and rng.random() < config.hum_probability:
            hum = self._hum(rng)
            noisy = noisy + np.float32(noise_factor(clean, hum, rng.uniform(*config.hum_ratio_db))) * hum
        if config.clip_probability > 0.0 and rng.random() < config.clip_probability:
            top = np.float32(rng.uniform(*config.clip_share)) * np.abs(noisy).max(initial=0.0)
            noisy = np.clip(noisy, -top, top)
        gain = np.float32(random_gain(noisy, config, rng))
        heard = noisy * gain
        return heard, heard if config.noise_in_target else clean * gain

    def _in_a_room(self, clean: Samples, config: AugmentConfig, rng: np.random.Generator) -> Samples:
        seconds, ratio_db = rng.uniform(*config.reverb_seconds), rng.uniform(*config.reverb_ratio_db)
        rate = self.store.sample_rate
        noise = torch.from_numpy(rng.standard_normal((1, math.ceil(seconds * rate)), dtype=np.float32))
        response = room_responses(noise, torch.tensor([seconds]), torch.tensor([ratio_db]), rate)
        return reverberate(torch.from_numpy(clean)[None], response)[0].numpy()

    def _hum(self, rng: np.random.Generator) -> Samples:
        draws = torch.from_numpy(rng.random((1, DRAWS), dtype=np.float32))
        return mains_hum(draws, self.segment_samples, self.store.sample_rate)[0].numpy()


def _pad(x: Samples, frames: int, rng: np.random.Generator) -> Samples:
    """Zeros around `x` so that it has `frames` samples, at a random offset."""
    if len(x) == frames:
        return x
    before = int(rng.integers(0, frames - len(x) + 1))
    return np.pad(x, (before, frames - len(x) - before))
