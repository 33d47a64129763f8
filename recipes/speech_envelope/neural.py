"""The neural codec's bottlenecks at 1.5 to 6 kbit/s: what recipes/speech_16k/compare.py has measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from codec.config import read_yaml
from codec.errors import CodecError

_PLAN = Path(__file__).resolve().parent.parent / "speech_16k" / "compare.yaml"


class NeuralPoint(NamedTuple):
    """A trained codec at one bitrate: its mean PESQ over clips."""

    kbps: float
    pesq_wb: float


class NeuralResults(NamedTuple):
    """``found``: points by bottleneck, in the order of the bitrates; ``missing``: trainings to come."""

    found: dict[str, list[NeuralPoint]]
    missing: list[str]


def read_neural(folder: Path) -> NeuralResults:
    """Read what is finished of a comparison.

    Raises:
        CodecError: a result is damaged.
    """
    found, missing = {}, []
    for name in read_yaml(_PLAN)["bottlenecks"]:
        path = folder / name.replace(", ", "_") / "result.json"
        if not path.exists():
            missing.append(name)
            continue
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            points = [NeuralPoint(row["kbps"], row["pesq_wb"]) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise CodecError(f"{path} is damaged: delete it and run compare.py again") from error
        found[name] = sorted(points)
    return NeuralResults(found, missing)
