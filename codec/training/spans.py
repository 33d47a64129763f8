"""Random mono spans of the clips in a store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.errors import CodecError
from codec.training.clips import Samples
from codec.training.store import ClipStore

FRAME_MS = 20
SILENCE_RMS = 10.0 ** (-55.0 / 20.0)  # of full scale: above the noise of most recordings, below soft speech
ACTIVE_SHARE = 0.25


class RandomSpans:
    """Draws spans of a store, each clip as often as its length times its weight says.

    Raises CodecError where every clip has the weight 0.
    """

    def __init__(self, store: ClipStore) -> None:
        self.store = store
        weights = np.array([clip.weight for clip in store.clips])
        self._cumulative: NDArray[np.float64] = np.cumsum(store.lengths * weights)
        if not self._cumulative[-1] > 0.0:
            raise CodecError("every clip has the weight 0; give some of the data a positive weight")

    def draw(self, frames: int, rng: np.random.Generator) -> Samples:
        """A span of `frames` samples as float32, or all of a clip that is shorter.

        Of several channels a random one is taken, or their mean, each as likely as the others.
        """
        point = rng.random() * self._cumulative[-1]
        index = int(np.searchsorted(self._cumulative, point, side="right"))
        length = int(self.store.lengths[index])
        start = int(rng.integers(0, max(0, length - frames) + 1))
        block = self.store.read(index, start, min(frames, length))
        channel = int(rng.integers(0, block.shape[1] + 1)) if block.shape[1] > 1 else 0
        if channel == block.shape[1]:
            mono: Samples = block.mean(axis=1, dtype=np.float32)
        else:
            mono = block[:, channel].astype(np.float32)
        mono *= np.float32(1.0 / 32768.0)
        return mono


def is_active(x: Samples, sample_rate: int) -> bool:
    """Whether at least a quarter of the 20 ms frames of `x` [T] lie above -55 dB of full scale."""
    frame = min(len(x), max(1, sample_rate * FRAME_MS // 1000))
    frames = x[: len(x) // frame * frame].reshape(-1, frame)
    energy = np.einsum("ft,ft->f", frames, frames)
    return bool(np.mean(energy > frame * SILENCE_RMS**2) >= ACTIVE_SHARE)
