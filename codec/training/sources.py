"""Where training sound comes from: folders and manifests, as lists of clips."""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from codec.errors import CodecError
from codec.training.clips import AUDIO_SUFFIXES, Clip, probe

log = logging.getLogger(__name__)


def open_source(path: str | Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """The clips of a folder or of a manifest, in an order that depends on names only.

    path: a folder (searched recursively), or a csv manifest.
    prefix: only clips whose name (path relative to the folder or the csv) starts with it.
    weight: multiplies the weight of every clip. Files that cannot be read are logged and left out.
    Raises CodecError where nothing usable is found or the manifest is wrong.
    """
    path = Path(path)
    if path.is_dir():
        clips = folder_clips(path, prefix, weight)
    elif path.is_file():
        clips = manifest_clips(path, prefix, weight)
    else:
        raise CodecError(f"{path} does not exist; name a folder of audio files or a csv manifest")
    if not clips:
        within = f" under the prefix {prefix!r}" if prefix else ""
        raise CodecError(
            f"{path} holds no readable audio{within}; name a folder with WAV, FLAC, Ogg or MP3 files"
        )
    return clips


def folder_clips(folder: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """All readable audio files below `folder`, sorted by relative path; others are logged and left out."""
    names = sorted(name for name in _audio_names(folder) if name.startswith(prefix))
    return probe_all(((folder / name, name, "", weight) for name in names), str(folder))


def manifest_clips(manifest: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """The readable files that a csv lists, in its order.

    The csv has a header with a `path` column (relative to the csv's folder) and optional `speaker` and
    `weight`. Raises CodecError with file and line for a missing column, a missing file or a weight that is no
    number >= 0.
    """
    listed = []
    for where, row in read_rows(manifest, ("path",)):
        if not row["path"].startswith(prefix):
            continue
        path = manifest.parent / row["path"]
        if not path.is_file():
            raise CodecError(f"{where} names {row['path']}, which does not exist; correct the path")
        listed.append((path, row["path"], row.get("speaker", ""), weight * _weight(row, where)))
    return probe_all(listed, str(manifest))


def read_rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a csv with a header -> ("FILE line N", row) with every field stripped of blanks.

    Raises CodecError where the file is no UTF-8 csv, a required column is missing or a row has no value for
    it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in required if column not in (reader.fieldnames or ())]
            if missing:
                raise CodecError(f"{path} line 1 has no column {missing[0]!r}; add it to the header")
            for fields in reader:
                where = f"{path} line {reader.line_num}"
                row = {key: (value or "").strip() for key, value in fields.items() if isinstance(key, str)}
                for column in required:
                    if not row[column]:
                        raise CodecError(
                            f"{where} has no value for {column!r}; fill it in or remove the line"
                        )
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CodecError(f"{path} is not a readable csv file in UTF-8; save it as one") from error


def probe_all(files: Iterable[tuple[Path, str, str, float]], where: str) -> list[Clip]:
    """Clips of the files (path, name, speaker, weight) that can be read; others are logged and counted."""
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


def _audio_names(folder: Path) -> Iterator[str]:
    """Paths below `folder`, relative to it, with forward slashes, that have the suffix of an audio file."""
    for root, _, files in os.walk(folder):
        for file in files:
            if file.lower().endswith(AUDIO_SUFFIXES) and not file.startswith("."):
                yield (Path(root) / file).relative_to(folder).as_posix()


def _weight(row: dict[str, str], where: str) -> float:
    text = row.get("weight", "")
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = -1.0
    if not (math.isfinite(weight) and weight >= 0.0):
        raise CodecError(f"{where} has the weight {text!r}; write a number that is 0 or more")
    return weight
