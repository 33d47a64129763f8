"""Training segments: a pure function of seed and index, and the order in which ranks and workers take
them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from codec.errors import CodecError
from codec.training.augment import AugmentConfig, noise_factor, random_gain, speed_and_tone
from codec.training.store import ClipStore

Samples = NDArray[np.float32]

_MARGIN = 256  # samples cut off both ends of a block that went through the Fourier domain
_TONE_POINTS = 9  # of a random frequency response: 1 kHz apart at 16 kHz, about the width of a formant
_MAX_DRAWS = 8  # of one segment until it is not silent; a source of silence alone still gives segments
_SILENCE_FRAME_MS = 20
_SILENCE_RMS = 10.0 ** (-55.0 / 20.0)
_ACTIVE_SHARE = 0.25


class SegmentBatch(NamedTuple):
    """input: what the codec hears; target: what it should give back; both float32 [B, 1, T]."""

    input: torch.Tensor
    target: torch.Tensor


class SegmentDataset(Dataset[tuple[Samples, Samples]]):
    """Random segments of a store of clips: item i is a pure function of (seed, i), for any i >= 0.

    store: the clips, drawn by length times weight. segment_samples: T. noise: sound for noise augmentation.
    A clip shorter than T is padded with zeros at a random offset; one with several channels gives a random
    one or their mean; a segment that is mostly silent is drawn again, a few times at most.
    Raises CodecError where every clip has weight 0.
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
        self._cumulative = _cumulative_weights(store)
        self._noise_cumulative = None if noise is None else _cumulative_weights(noise)

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
        return SegmentBatch(
            torch.from_numpy(np.stack(inputs))[:, None], torch.from_numpy(np.stack(targets))[:, None]
        )

    def _draw(self, rng: np.random.Generator) -> tuple[Samples, bool]:
        """One candidate float32 [T], and whether enough of it is more than silence."""
        config = self.augment
        factor, response = 1.0, None
        if config is not None:
            if rng.random() < config.speed_probability:
                factor = rng.uniform(*config.speed)
            if rng.random() < config.equalize_probability:
                response = rng.uniform(-config.equalize_db, config.equalize_db, _TONE_POINTS).astype(
                    np.float32
                )
        if factor == 1.0 and response is None:
            x = _random_span(self.store, self._cumulative, self.segment_samples, rng)
            return _pad(x, self.segment_samples, rng), _is_active(x, self.store.sample_rate)
        wide = self.segment_samples + 2 * _MARGIN
        span = _random_span(self.store, self._cumulative, round(wide * factor), rng)
        active = _is_active(span, self.store.sample_rate)
        warped = speed_and_tone(_pad(span, round(wide * factor), rng), wide, response)
        return warped[_MARGIN : _MARGIN + self.segment_samples], active

    def _degrade(
        self, clean: Samples, config: AugmentConfig, rng: np.random.Generator
    ) -> tuple[Samples, Samples]:
        """Noise, then gain, for clean float32 [T] -> input, target."""
        noisy = clean
        if self.noise is not None and rng.random() < config.noise_probability:
            noise = self._noise_span(rng)
            noisy = clean + np.float32(noise_factor(clean, noise, rng.uniform(*config.noise_snr_db))) * noise
        gain = np.float32(random_gain(noisy, config, rng))
        heard = noisy * gain
        return heard, heard if config.noise_in_target else clean * gain

    def _noise_span(self, rng: np.random.Generator) -> Samples:
        """Noise float32 [T]; a shorter clip is repeated."""
        assert self.noise is not None
        assert self._noise_cumulative is not None
        span = _random_span(self.noise, self._noise_cumulative, self.segment_samples, rng)
        return np.resize(span, self.segment_samples)


class SegmentStream(IterableDataset[SegmentBatch]):
    """The endless sequence of batches that one rank trains on, for `DataLoader(stream, batch_size=None)`.

    Step s of rank r holds the segments from `start + (s * world_size + r) * batch_size` on, whatever the
    number of loader workers: the ranks together see what one process with `world_size * batch_size` sees, and
    `start`, counted in segments over all ranks, is all that an exact resume needs. It is read each time an
    iteration begins.
    """

    def __init__(
        self, dataset: SegmentDataset, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[SegmentBatch]:
        worker = get_worker_info()
        # A loader takes batches from its workers in turn, so worker w of n makes steps w, w + n, ...
        step, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        start = self.start
        while True:
            yield self.dataset.batch(
                start + (step * self.world_size + self.rank) * self.batch_size, self.batch_size
            )
            step += stride


def _cumulative_weights(store: ClipStore) -> NDArray[np.float64]:
    """Running sum over the clips of length times weight."""
    weights = np.array([clip.weight for clip in store.clips]) * store.lengths
    if not weights.sum() > 0.0:
        raise CodecError("every clip has the weight 0; give some of the data a positive weight")
    return np.cumsum(weights)


def _random_span(
    store: ClipStore, cumulative: NDArray[np.float64], frames: int, rng: np.random.Generator
) -> Samples:
    """Up to `frames` samples of a random clip as mono float32, fewer where the clip is shorter."""
    index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    length = int(store.lengths[index])
    start = int(rng.integers(0, max(0, length - frames) + 1))
    block = store.read(index, start, min(frames, length))
    channels = block.shape[1]
    if channels == 1:
        mono = block[:, 0].astype(np.float32)
    else:
        channel = int(rng.integers(0, channels + 1))
        mono = (
            block.mean(axis=1, dtype=np.float32)
            if channel == channels
            else block[:, channel].astype(np.float32)
        )
    return mono * np.float32(1.0 / 32768.0)


def _pad(x: Samples, frames: int, rng: np.random.Generator) -> Samples:
    """Zeros around `x` so that it has `frames` samples, at a random offset."""
    if len(x) == frames:
        return x
    before = int(rng.integers(0, frames - len(x) + 1))
    return np.pad(x, (before, frames - len(x) - before))


def _is_active(x: Samples, sample_rate: int) -> bool:
    """Whether at least a quarter of the 20 ms frames of `x` [T] lie above -55 dB of full scale."""
    frame = max(1, sample_rate * _SILENCE_FRAME_MS // 1000)
    count = len(x) // frame
    if count == 0:
        return bool(np.abs(x).max(initial=0.0) > _SILENCE_RMS)
    frames = x[: count * frame].reshape(count, frame)
    energy = np.einsum("ft,ft->f", frames, frames)
    return bool(np.mean(energy > frame * _SILENCE_RMS**2) >= _ACTIVE_SHARE)
