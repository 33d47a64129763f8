"""Data of a training: its configuration, and the Lightning data module that hands out batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from codec.errors import CodecError
from codec.training.augment import AugmentConfig
from codec.training.clips import Clip
from codec.training.corpora import without_validation_speakers
from codec.training.device_segments import DeviceSegments
from codec.training.segments import SegmentBatch, SegmentDataset
from codec.training.sources import Source
from codec.training.store import ClipStore
from codec.training.stream import SegmentStream

log = logging.getLogger(__name__)

_ALL = 2**62  # bytes of memory for what goes to the device as a whole


@dataclass(frozen=True)
class DataConfig:
    """What a batch is made of.

    segment_seconds: length of a segment. batch_size: segments a rank and step. workers: loader processes, 0
    for none. cache_mb: MiB of memory for decoded audio, as 16-bit samples; what does not fit is read from its
    files. augment: see AugmentConfig. on_device: hold all sound on the device that trains, and make the
    batches there: for GPUs, which loaders cannot keep busy. workers and cache_mb then do not matter.
    """

    segment_seconds: float = 1.0
    batch_size: int = 16
    workers: int = 0
    cache_mb: int = 2048
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    on_device: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.segment_seconds <= 60.0:
            raise CodecError(f"segment_seconds must lie in (0, 60], not {self.segment_seconds}")
        if self.batch_size < 1 or self.workers < 0 or self.cache_mb < 0:
            raise CodecError("batch_size must be positive, workers and cache_mb must not be negative")


class AudioDataModule(lightning.LightningDataModule):
    """Endless batches of random segments, whose position survives in Lightning's checkpoints.

    sources: where the audio is; a text is read as `Source.parse` reads it. noise: the same, for noise
    augmentation, which is off without it. segment_multiple: segments are a whole number of this many samples
    (the codec's hop). The training module adds 1 to `batches_seen` after each batch it has used, so that a
    resumed run begins with the next: batches that workers made ahead do not count.
    """

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        sources: Sequence[str | Path | Source],
        noise: Sequence[str | Path | Source] = (),
        seed: int = 0,
        segment_multiple: int = 1,
    ) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = sample_rate
        self.seed = seed
        self.segments_seen = 0
        self._sources = list(sources)
        self._noise = list(noise)
        multiples = max(1, round(config.segment_seconds * sample_rate / segment_multiple))
        self.segment_samples = multiples * segment_multiple
        self._dataset: SegmentDataset | DeviceSegments | None = None

    @property
    def batches_seen(self) -> int:
        """Batches that each rank has trained on, resumed ones included."""
        return self.segments_seen // self._segments_a_step()

    @batches_seen.setter
    def batches_seen(self, count: int) -> None:
        self.segments_seen = count * self._segments_a_step()

    @property
    def dataset(self) -> SegmentDataset | DeviceSegments:
        """The segments; loads the audio where `setup` has not done so yet."""
        if self._dataset is None:
            self._dataset = self._on_device() if self.config.on_device else self._from_memory()
        return self._dataset

    def _from_memory(self) -> SegmentDataset:
        budget = self.config.cache_mb * 2**20
        noise = ClipStore(_clips(self._noise), self.sample_rate, budget) if self._noise else None
        budget -= 0 if noise is None else noise.cached_bytes
        store = ClipStore(_clips(self._sources), self.sample_rate, budget)
        return SegmentDataset(store, self.segment_samples, self.seed, self.config.augment, noise)

    def _on_device(self) -> DeviceSegments:
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        noise = ClipStore(_clips(self._noise), self.sample_rate, _ALL) if self._noise else None
        store = ClipStore(_clips(self._sources), self.sample_rate, _ALL)
        return DeviceSegments(store, self.segment_samples, self.seed, self.config.augment, noise, device)

    def setup(self, stage: str | None = None) -> None:
        """Find and load the audio. Raises CodecError where a source holds none."""
        dataset = self.dataset
        if self.config.augment.noise_probability > 0.0 and dataset.noise is None:
            log.info("no noise source is given: training goes without noise augmentation")

    def train_dataloader(self) -> DataLoader[SegmentBatch]:
        """Batches of this rank from the current position on, without end."""
        # After a change of batch size the position may lie inside a step; the rest of that step is skipped.
        self.batches_seen = -(-self.segments_seen // self._segments_a_step())
        rank, world_size = self._rank_of()
        stream = SegmentStream(self.dataset, self.config.batch_size, self.segments_seen, rank, world_size)
        # What a device holds cannot be handed to another process.
        workers = 0 if self.config.on_device else self.config.workers
        return DataLoader(stream, batch_size=None, num_workers=workers)

    def state_dict(self) -> dict[str, Any]:
        """The position in the endless order of segments."""
        return {"segments_seen": self.segments_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a saved position; batch size and number of ranks may have changed."""
        self.segments_seen = int(state_dict["segments_seen"])

    def _segments_a_step(self) -> int:
        return self.config.batch_size * self._rank_of()[1]

    def _rank_of(self) -> tuple[int, int]:
        """Rank of this process, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _clips(sources: Sequence[str | Path | Source]) -> list[Clip]:
    """All clips of the sources, one source after the other, but none of a validation speaker."""
    parsed = [source if isinstance(source, Source) else Source.parse(str(source)) for source in sources]
    found = [clip for source in parsed for clip in source.clips()]
    kept = without_validation_speakers(found)
    if found and not kept:
        raise CodecError(
            f"all {len(found)} clips of the data are of validation speakers, which no training may hear: "
            "add other speakers"
        )
    return kept
