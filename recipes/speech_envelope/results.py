"""Figures of the finished runs, and the published ones beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import CodecError
from recipes.common.records import Results
from recipes.speech_envelope.study import METHODS, Condition, Method, Setting

LABELS: dict[Method, str] = {
    "additive": "additive, 16 bit",
    "residual": "residual, 16 bit",
    "product": "product, 16 bit",
    "nsvq": "NSVQ, 12 bit",
    "ste": "STE, 12 bit",
}

# Metrics with the digits that their tables show.
TITLES = {
    "pesq_wb": ("PESQ-WB", 2),
    "psnr": ("pSNR in dB", 2),
    "stoi": ("STOI", 3),
    "psnr_coding": ("Signal-to-noise ratio in dB, weighted as the codec weights its noise", 2),
}


@dataclass(frozen=True)
class Finished:
    """What has run so far on the same ``sound``, told in words: the study's results, and those of the side
    study by condition."""

    sound: str
    study: Results[Setting]
    side: Mapping[Condition, Results[Setting]]


@dataclass(frozen=True)
class Published:
    """Means by metric and method, at ``bitrates`` (Vali and Bäckström, ICASSP 2023 figure 1, and IEEE Access
    2022)."""

    bitrates: tuple[int, ...]
    tables: dict[str, dict[str, list[float]]]

    def means(self, metric: str, method: Method, bitrates: Sequence[int]) -> dict[int, float]:
        """Published means by bitrate, of those bitrates that are published."""
        row = self.tables.get(metric, {}).get(method, [])
        known = dict(zip(self.bitrates, row, strict=False))
        return {bitrate: known[bitrate] for bitrate in bitrates if bitrate in known}


def read_published(path: Path) -> Published:
    """Read the published figures.

    Raises:
        CodecError: a row is not as long as the bitrates.
    """
    tables = json.loads(path.read_text(encoding="utf-8"))
    bitrates = tuple(tables.pop("bitrates"))
    if any(len(row) != len(bitrates) for table in tables.values() for row in table.values()):
        raise CodecError(f"{path} needs a figure for each of its {len(bitrates)} bitrates in every row")
    return Published(bitrates, tables)


def header(bitrates: Sequence[int]) -> list[str]:
    """The first line of a table by bitrate."""
    return ["kbit/s", *(f"{bitrate / 1000:g}" for bitrate in bitrates)]


def runs_of(results: Results[Setting], method: Method) -> dict[int, dict[str, Any]]:
    """The finished runs of a method, by seed."""
    return results.get(Setting(method, 0), {})


def by_seed(results: Results[Setting], method: Method, bitrate: int, metric: str) -> dict[int, float]:
    """The mean over clips of each seed's run, over those clips that the metric is defined for."""
    means = {}
    for seed, result in sorted(runs_of(results, method).items()):
        values = [value for value in result["measured"][str(bitrate)][metric] if value is not None]
        if values:
            means[seed] = float(np.mean(values))
    return means


def by_clip(results: Results[Setting], method: Method, bitrate: int, metric: str) -> list[float]:
    """The mean over seeds of each clip, of those clips that the metric is defined for."""
    runs = [run["measured"][str(bitrate)][metric] for run in runs_of(results, method).values()]
    return [float(np.mean(values)) for values in zip(*runs, strict=True) if None not in values]


def sizes(results: Results[Setting], bitrate: int) -> list[float]:
    """The measured kbit/s of all runs at a bitrate."""
    return [
        run["measured"][str(bitrate)]["kbps"]
        for method in METHODS
        for run in runs_of(results, method).values()
    ]
