"""Sound in and out, block by block: the readers, writers and formats that the rest of the codec uses."""

from __future__ import annotations

from codec.audio_read import DEFAULT_MAX_DURATION, AudioReader
from codec.audio_write import AudioWriter
from codec.pcm import MAX_CHANNELS, SAMPLE_BYTES, RawFormat
from codec.resample import Resampler

__all__ = [
    "DEFAULT_MAX_DURATION",
    "MAX_CHANNELS",
    "SAMPLE_BYTES",
    "AudioReader",
    "AudioWriter",
    "RawFormat",
    "Resampler",
]
