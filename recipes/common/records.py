"""Finished runs of a study, one JSON line each: an interrupted study goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from codec.errors import CodecError

Setting = TypeVar("Setting")
# By a setting with seed 0: its results by seed.
Results = Mapping[Setting, dict[int, dict[str, Any]]]


class Records:
    """The runs of a study in a file of JSON lines, each with its whole ``setting`` and its ``result``.

    A run counts as finished only for exactly its setting, so that a study of another size, or with a changed
    configuration, may use the same file. The last line may be cut off where a run was killed: it counts as
    not finished.

    Args:
        path: the file; it and its folder are made by the first run.

    Raises:
        CodecError: another line is no JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runs: list[dict[str, Any]] = []
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        # What follows the last line end is a line that was cut off, or nothing.
        for number, line in enumerate(lines[:-1], start=1):
            try:
                self._runs.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise CodecError(f"line {number} of {path} is damaged: delete that line") from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, setting: Mapping[str, Any]) -> dict[str, Any] | None:
        """The result of the run with this setting, or None."""
        wanted = json.loads(json.dumps(setting))
        return next((run["result"] for run in self._runs if run["setting"] == wanted), None)

    def add(self, setting: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a finished run; it is on disk when this returns."""
        line = json.dumps({"setting": setting, "result": result})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.truncate(_end_of_last_line(self.path))
            file.write(line.encode() + b"\n")
        self._runs.append(json.loads(line))


def by_setting(records: Records, kind: type[Setting], shared: Mapping[str, Any]) -> Results[Setting]:
    """The results of finished runs, by setting and seed.

    Args:
        records: their settings are the fields of ``kind``, among them ``seed``, and what all runs share.
        kind: a frozen dataclass.
        shared: only runs whose setting holds all of this count.
    """
    wanted = json.loads(json.dumps(shared))
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    results: dict[Setting, dict[int, dict[str, Any]]] = defaultdict(dict)
    for run in records:
        setting = run["setting"]
        if all(setting.get(key) == value for key, value in wanted.items()):
            group = kind(**{**{name: setting[name] for name in names}, "seed": 0})
            results[group][setting["seed"]] = run["result"]
    return dict(results)


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1
