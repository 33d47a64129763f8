"""Packed parts: many clips joined into a few FLAC files, with an index that finds each again.

A folder of thousands of small files is slow to copy and to list. The index is a csv with the columns part,
start, samples, name, speaker and weight; `start` and `samples` count samples of the part. All clips of a part
have one sample rate and number of channels. Samples are kept in 16 bits, as training holds them.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.errors import CodecError, UsageError
from codec.training.clips import Clip, probe, read_clip
from codec.training.manifest import read_rows, weight_of

INDEX_NAME = "packed.csv"
_COLUMNS = ("part", "start", "samples", "name", "speaker", "weight")

# FLAC stores a block that does not compress as it is; headers and the block frames take less than this share.
_OVERHEAD = 1.02
_HEADER_BYTES = 16_384
# What the encoder may still hold back, of each channel: two of its blocks.
_PENDING_SAMPLES = 8192
_MAX_CHANNELS = 8  # of a FLAC file


def packed_clips(folder: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """The clips that the index in `folder` lists, in its order.

    prefix: only names that start with it. weight: multiplies the weight of every clip.
    Raises CodecError with file and line for an entry that does not fit its part, and for a part that is
    unreadable.
    """
    index = folder / INDEX_NAME
    parts: dict[str, Clip] = {}
    clips = []
    for where, row in read_rows(index, ("part", "start", "samples", "name")):
        if not row["name"].startswith(prefix):
            continue
        name = row["part"]
        if name not in parts:
            if name != Path(name).name or not (folder / name).is_file():
                raise CodecError(f"{where} names the part {name}, which is not in that folder; copy it there")
            parts[name] = probe(folder / name, name)
        part = parts[name]
        start, samples = _count(row["start"]), _count(row["samples"])
        if start < 0 or samples < 1 or start + samples > part.frames:
            raise CodecError(f"{where} points outside of {name}; copy index and parts anew")
        own = weight * weight_of(row, where)
        speaker = row.get("speaker", "")
        clips.append(
            replace(part, start=start, frames=samples, name=row["name"], speaker=speaker, weight=own)
        )
    return clips


def pack_clips(
    clips: Iterable[Clip],
    folder: Path,
    max_bytes: int = 24 * 2**20,
    sample_rate: int | None = None,
) -> list[CodecError]:
    """Join clips into FLAC parts of at most `max_bytes` each, with their index, in a new folder.

    A clip longer than a part is cut into several entries, named NAME#1, NAME#2, ...
    sample_rate: what all clips are resampled to, in Hz; None keeps each clip's own, in parts of its own.
    Returns the errors of clips that could not be read; those are left out.
    Raises UsageError where the folder exists and is not empty or `max_bytes` is too small, CodecError where
    no clip could be read or the disk is full; the folder appears whole or not at all.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already; name a new folder")
    if _samples_in(max_bytes - _HEADER_BYTES) < 2**16:
        raise UsageError(f"parts of {max_bytes} bytes are too small; allow at least 256 KiB")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            errors = _write(clips, work, max_bytes, sample_rate)
            work.chmod(0o755)
            os.replace(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise CodecError(f"{folder} cannot be written: {error}") from error
    return errors


@dataclass
class _Part:
    """A FLAC file being written, and how many samples of each channel it holds so far."""

    path: Path
    file: soundfile.SoundFile
    frames: int = 0

    def room(self, max_bytes: int) -> int:
        """Samples, those of all channels counted, that surely still fit."""
        pending: int = _PENDING_SAMPLES * self.file.channels
        return _samples_in(max_bytes - self.path.stat().st_size) - pending


class _PartWriter:
    """Writes blocks of samples one after the other into FLAC files of a bounded size, in `folder`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._count = 0
        self._open: dict[tuple[int, int], _Part] = {}

    def append(self, samples: NDArray[np.int16], sample_rate: int) -> Iterator[tuple[str, int, int]]:
        """Write int16 [T, C], in pieces where a part is shorter, and yield part, start and length of each."""
        channels = samples.shape[1]
        longest = _samples_in(self._max_bytes - _HEADER_BYTES) // channels - _PENDING_SAMPLES
        for first in range(0, len(samples), longest):
            piece = samples[first : first + longest]
            part = self._open.get((sample_rate, channels))
            if part is None or piece.size > part.room(self._max_bytes):
                part = self._next(sample_rate, channels)
            part.file.write(piece)
            yield part.path.name, part.frames, len(piece)
            part.frames += len(piece)

    def close(self) -> None:
        """Finish all parts."""
        for part in self._open.values():
            part.file.close()

    def _next(self, sample_rate: int, channels: int) -> _Part:
        previous = self._open.pop((sample_rate, channels), None)
        if previous is not None:
            previous.file.close()
        path = self._folder / f"part-{self._count:03d}.flac"
        self._count += 1
        part = _Part(path, soundfile.SoundFile(str(path), "w", sample_rate, channels, subtype="PCM_16"))
        self._open[sample_rate, channels] = part
        return part


def _write(clips: Iterable[Clip], folder: Path, max_bytes: int, sample_rate: int | None) -> list[CodecError]:
    """Write parts and index into an existing folder; the errors of clips that cannot be packed."""
    errors = []
    rows: list[tuple[str, int, int, str, str, float]] = []
    writer = _PartWriter(folder, max_bytes)
    try:
        for clip in clips:
            rate = sample_rate or clip.sample_rate
            try:
                if clip.channels > _MAX_CHANNELS:
                    raise CodecError(f"{clip.path} has more than {_MAX_CHANNELS} channels; mix it down")
                samples = read_clip(clip, rate)
            except CodecError as error:
                errors.append(error)
                continue
            pieces = list(writer.append(samples, rate))
            for number, (part, start, length) in enumerate(pieces, 1):
                name = clip.name if len(pieces) == 1 else f"{clip.name}#{number}"
                rows.append((part, start, length, name, clip.speaker, clip.weight))
    finally:
        writer.close()
    if not rows:
        raise CodecError("none of the audio files could be decoded; check the data folders")
    with (folder / INDEX_NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(rows)
    return errors


def _samples_in(num_bytes: int) -> int:
    """16-bit samples that surely take no more than so many bytes."""
    return int(num_bytes / (2 * _OVERHEAD))


def _count(text: str) -> int:
    """A whole number of 0 or more, -1 where the text is none."""
    return int(text) if text.isascii() and text.isdigit() else -1
