"""Sound files for the tests of training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.training.sources import Source
from codec.training.store import ClipStore

RATE = 16_000
ALL_IN_MEMORY = 2**40


def noise_samples(seed: int, frames: int, channels: int = 1, level: int = 8000) -> NDArray[np.int16]:
    """Loud noise, int16 [frames, channels]: no two places of it are alike."""
    return np.random.default_rng(seed).integers(-level, level, (frames, channels)).astype(np.int16)


def tone(frequency: float, frames: int, rate: int = RATE, level: float = 0.3) -> NDArray[np.float32]:
    """A sine of `frequency` Hz, float32 [frames]."""
    return (level * np.sin(2 * np.pi * frequency * np.arange(frames) / rate)).astype(np.float32)


def write(path: Path, samples: NDArray[np.int16] | NDArray[np.float32], rate: int = RATE) -> Path:
    """Write a file in the format of its suffix, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), samples, rate)
    return path


def write_folder(folder: Path, lengths: tuple[int, ...] = (40_000, 24_000, 90_000)) -> Path:
    """A folder of mono FLAC files of noise, `clip0.flac` and so on."""
    for index, frames in enumerate(lengths):
        write(folder / f"clip{index}.flac", noise_samples(index, frames))
    return folder


def load(path: Path, sample_rate: int = RATE, cache_bytes: int = ALL_IN_MEMORY) -> ClipStore:
    """The store of a source."""
    return ClipStore(Source(path).clips(), sample_rate, cache_bytes)
