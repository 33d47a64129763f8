"""Random access to the samples of many clips, held in memory as far as a budget allows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codec.errors import CodecError
from codec.training.clips import Clip, read_clip, read_span

log = logging.getLogger(__name__)


class ClipStore:
    """Clips at one sample rate, in 16 bits: in memory, in order, until the budget is full, then by seeking.

    Both ways give the same samples for files that already have the rate, so the budget does not change a
    training.

    clips: what was found; those that turn out to be damaged are logged and left out. sample_rate: in Hz.
    cache_bytes: the budget; `cached_bytes` is what was used. `clips` and `lengths` (samples at `sample_rate`)
    tell what is there.
    Raises CodecError where no clip can be read.
    """

    def __init__(self, clips: Sequence[Clip], sample_rate: int, cache_bytes: int) -> None:
        self.sample_rate = sample_rate
        self.clips: list[Clip] = []
        self._cached: list[NDArray[np.int16] | None] = []
        self._reported: set[int] = set()
        self.cached_bytes = 0
        for clip in clips:
            num_bytes = 2 * clip.channels * clip.length_at(sample_rate)
            if self.cached_bytes + num_bytes > cache_bytes:
                self._add(clip, None)
                continue
            try:
                self._add(clip, read_clip(clip, sample_rate))
                self.cached_bytes += num_bytes
            except CodecError as error:
                log.warning("skipped: %s", error)
        if not self.clips:
            raise CodecError(
                "the data sources hold no audio that can be used for training; check the folders"
            )
        lengths = [
            clip.length_at(sample_rate) if samples is None else len(samples)
            for clip, samples in zip(self.clips, self._cached, strict=True)
        ]
        self.lengths: NDArray[np.int64] = np.array(lengths, dtype=np.int64)
        log.info(
            "%d clips, %.2f h, %d skipped, %d not held in memory",
            len(self.clips),
            self.lengths.sum() / sample_rate / 3600,
            len(clips) - len(self.clips),
            sum(samples is None for samples in self._cached),
        )

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, index: int, start: int, frames: int) -> NDArray[np.int16]:
        """Samples [start, start + frames) of clip `index` -> int16 [frames, C]; the span is inside the clip.

        A file that is damaged there is logged once and read as silence: a training of days does not stop for
        it.
        """
        cached = self._cached[index]
        if cached is not None:
            return cached[start : start + frames]
        clip = self.clips[index]
        try:
            return read_span(clip, self.sample_rate, start, frames)
        except CodecError as error:
            if index not in self._reported:
                self._reported.add(index)
                log.warning("read as silence: %s", error)
            return np.zeros((frames, clip.channels), dtype=np.int16)

    def _add(self, clip: Clip, samples: NDArray[np.int16] | None) -> None:
        self.clips.append(clip)
        self._cached.append(samples)
