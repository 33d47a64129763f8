"""Data of a training: its configuration, and the Lightning data module that hands out batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
from torch.utils.data import DataLoader

from codec.training.augment import AugmentConfig
from codec.training.clips import Clip
from codec.training.segments import SegmentBatch, SegmentDataset, SegmentStream
from codec.training.sources import open_source
from codec.training.store import ClipStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataConfig:
    """What a batch is made of.

    segment_seconds: length of a segment. batch_size: segments a rank and step. workers: loader processes, 0
    for none. cache_mb: MiB of memory for decoded audio, as 16-bit samples; what does not fit is read from its
    files. augment: see AugmentConfig.
    """

    segment_seconds: float = 1.0
    batch_size: int = 16
    workers: int = 0
    cache_mb: int = 2048
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class AudioDataModule(lightning.LightningDataModule):
    """Endless batches of random segments, whose position survives in Lightning's checkpoints.

    sources: folders and manifests (see `codec.training.sources`) or clips already listed. noise: the same,
    for noise augmentation. segment_multiple: segments are a whole number of this many samples (the hop of the
    codec). The training module adds 1 to `batches_seen` after each batch it has used, so that a resumed run
    begins with the next: batches which workers made ahead do not count.
    """

    def __init__(
        self,
        config: DataConfig,
        sample_rate: int,
        sources: Sequence[str | Path | Clip],
        noise: Sequence[str | Path | Clip] = (),
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
        self._dataset: SegmentDataset | None = None

    @property
    def batches_seen(self) -> int:
        """Batches that each rank has trained on, resumed ones included."""
        return self.segments_seen // self._segments_a_step()

    @batches_seen.setter
    def batches_seen(self, count: int) -> None:
        self.segments_seen = count * self._segments_a_step()

    @property
    def dataset(self) -> SegmentDataset:
        """The segments; loads the audio where `setup` has not done so yet."""
        if self._dataset is None:
            clips = _clips(self._sources)
            noise = (
                ClipStore(_clips(self._noise), self.sample_rate, self.config.cache_mb)
                if self._noise
                else None
            )
            store = ClipStore(clips, self.sample_rate, self.config.cache_mb)
            self._dataset = SegmentDataset(store, self.segment_samples, self.seed, self.config.augment, noise)
        return self._dataset

    def setup(self, stage: str | None = None) -> None:
        """Find and load the audio. Raises CodecError where a source holds none."""
        log.info("%d clips for training", len(self.dataset.store))

    def train_dataloader(self) -> DataLoader[SegmentBatch]:
        """Batches of this rank from the current position on, without end."""
        rank, world_size = (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )
        stream = SegmentStream(self.dataset, self.config.batch_size, self.segments_seen, rank, world_size)
        return DataLoader(stream, batch_size=None, num_workers=self.config.workers)

    def state_dict(self) -> dict[str, Any]:
        """The position in the endless order of segments."""
        return {"segments_seen": self.segments_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a saved position; batch size and number of ranks may have changed."""
        self.segments_seen = int(state_dict["segments_seen"])

    def _segments_a_step(self) -> int:
        world_size = 1 if self.trainer is None else self.trainer.world_size
        return self.config.batch_size * world_size


def _clips(sources: Sequence[str | Path | Clip]) -> list[Clip]:
    """All clips of the sources, one source after the other."""
    clips: list[Clip] = []
    for source in sources:
        clips += [source] if isinstance(source, Clip) else open_source(source)
    return clips
