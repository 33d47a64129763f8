"""Passages of recorded sound in files: what is known of them, and how their samples are read."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.errors import CodecError
from codec.resample import Resampler

log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")

# A resampler needs samples on both sides of a cut, at most 65 of the slower rate.
_RESAMPLE_MARGIN = 66


@dataclass(frozen=True)
class Clip:
    """A passage of an audio file, known without decoding it.

    path: the file. start, frames: the passage, in samples of the file. sample_rate: of the file, in Hz.
    channels: of the file. name: what the clip is called in lists. speaker: "" where unknown.
    weight: how often its samples are drawn, relative to those of other clips.
    """

    path: Path
    start: int
    frames: int
    sample_rate: int
    channels: int
    name: str
    speaker: str = ""
    weight: float = 1.0

    def length_at(self, sample_rate: int) -> int:
        """The length in samples after resampling to `sample_rate` Hz."""
        return -(-self.frames * sample_rate // self.sample_rate)


def probe(path: Path, name: str, speaker: str = "", weight: float = 1.0) -> Clip:
    """The whole of an audio file as a clip; only its header is read.

    Raises CodecError where libsndfile cannot read the file or it holds no samples.
    """
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise CodecError(f"{path} is not readable as audio; replace or remove it") from error
    if info.frames <= 0:
        raise CodecError(f"{path} holds no samples; replace or remove it")
    return Clip(path, 0, info.frames, info.samplerate, info.channels, name, speaker, weight)


def probe_all(files: Iterable[tuple[Path, str, str, float]], where: str) -> list[Clip]:
    """Clips of the files (path, name, speaker, weight) that can be read; others are logged and counted.

    where: the folder or list that they come from, for the log.
    """
    clips, skipped = [], 0
    for path, name, speaker, weight in files:
        try:
            clips.append(probe(path, name, speaker, weight))
        except CodecError as error:
            log.warning("skipped: %s", error)
            skipped += 1
    if skipped:
        log.warning("%s: %d of %d files skipped", where, skipped, skipped + len(clips))
    return clips


def read_clip(clip: Clip, sample_rate: int) -> NDArray[np.int16]:
    """Decode a whole clip at `sample_rate` Hz -> int16 [T, C], exact where the file is 16-bit at that rate.

    Raises CodecError where the file is damaged, ends early or holds NaN or infinite samples.
    """
    return to_int16(_resample(_read(clip, clip.start, clip.frames), clip.sample_rate, sample_rate))


def read_span(clip: Clip, sample_rate: int, start: int, frames: int) -> NDArray[np.int16]:
    """Decode samples [start, start + frames) of a clip at `sample_rate` Hz by seeking -> int16 [frames, C].

    The span lies inside `clip.length_at(sample_rate)`. Equal to that span of `read_clip` where the file
    already has the rate, and within rounding where it is resampled. Raises CodecError as `read_clip` does.
    """
    if clip.sample_rate == sample_rate:
        return to_int16(_read(clip, clip.start + start, frames))
    # The cut starts on a sample that both rates share, so that the resampler's phase is that of the whole
    # clip.
    step = sample_rate // math.gcd(sample_rate, clip.sample_rate)
    source_step = clip.sample_rate * step // sample_rate
    slower = min(clip.sample_rate, sample_rate)
    margin = -(-_RESAMPLE_MARGIN * clip.sample_rate // (slower * source_step))
    first = max(0, start // step - margin)
    last = min(clip.frames, (-(-(start + frames) // step) + margin) * source_step)
    block = _read(clip, clip.start + first * source_step, last - first * source_step)
    offset = start - first * step
    return to_int16(_resample(block, clip.sample_rate, sample_rate)[offset : offset + frames])


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Round samples in [-1, 1) to 16 bits; what lies outside is clipped. Any shape."""
    scaled: Samples = np.rint(samples * np.float32(32768.0))
    return np.clip(scaled, -32768.0, 32767.0).astype(np.int16)


def _read(clip: Clip, start: int, frames: int) -> Samples:
    """Samples [start, start + frames) of the clip's file -> float32 [frames, C]."""
    try:
        samples, _ = soundfile.read(
            str(clip.path), frames=frames, start=start, dtype="float32", always_2d=True
        )
    except (soundfile.SoundFileError, OSError) as error:
        raise CodecError(f"{clip.path} is damaged; replace or remove it") from error
    if len(samples) < frames:
        raise CodecError(f"{clip.path} ends before its header says; replace or remove it")
    if not np.isfinite(samples).all():
        raise CodecError(f"{clip.path} holds NaN or infinite samples; replace or remove it")
    return np.asarray(samples, dtype=np.float32)


def _resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Band-limited resampling of float32 [T, C] -> float32 [ceil(T * rate_out / rate_in), C]."""
    resampler = Resampler(rate_in, rate_out, samples.shape[1])
    return np.concatenate([resampler.push(samples), resampler.flush()])
