"""Lists of audio files in csv, with speakers and weights."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from codec.errors import CodecError
from codec.training.clips import Clip, probe_all


def manifest_clips(manifest: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """The readable files that a csv lists, in its order; others are logged and left out.

    The csv has a header with a `path` column (relative to the csv's folder) and optional `speaker` and
    `weight`. prefix: only paths that start with it. weight: multiplies the weight of every clip.
    Raises CodecError with file and line for a missing column, a missing file or a weight that is no number >=
    0.
    """
    listed = []
    for where, row in read_rows(manifest, ("path",)):
        if not row["path"].startswith(prefix):
            continue
        path = manifest.parent / row["path"]
        if not path.is_file():
            raise CodecError(f"{where} names {row['path']}, which does not exist; correct the path")
        listed.append((path, row["path"], row.get("speaker", ""), weight * weight_of(row, where)))
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
                        raise CodecError(f"{where} has no value for {column!r}; fill it in or delete it")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CodecError(f"{path} is not a readable csv file in UTF-8; save it as one") from error


def weight_of(row: dict[str, str], where: str) -> float:
    """The `weight` of a row, 1 where it has none; CodecError where that is no number of 0 or more."""
    text = row.get("weight", "")
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = -1.0
    if not (math.isfinite(weight) and weight >= 0.0):
        raise CodecError(f"{where} has the weight {text!r}; write a number that is 0 or more")
    return weight
