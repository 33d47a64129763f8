"""Access to the finished runs of the image study."""

from __future__ import annotations

from typing import Any

from codec.config import Estimator
from recipes.common.records import Results
from recipes.image_vqvae.study import Kind, Setting, Start

LABELS = {"nsvq": "NSVQ", "ste": "STE", "ema": "EMA", "rotation": "rotation", "diveq": "DiVeQ"}
KINDS: tuple[Kind, ...] = ("additive", "residual", "product")


class Runs:
    """The results of finished runs, looked up by what is compared; seeds in rising order."""

    def __init__(self, results: Results[Setting]) -> None:
        self._results = results

    def all(self) -> list[dict[str, Any]]:
        """The results of all runs."""
        return [result for by_seed in self._results.values() for result in by_seed.values()]

    def by_seed(
        self,
        kind: Kind,
        bits: int,
        estimator: Estimator = "nsvq",
        replacement: bool = True,
        start: Start = "uniform",
    ) -> dict[int, dict[str, Any]]:
        """The results of one setting by seed."""
        found = self._results.get(Setting(kind, bits, estimator, replacement, start, 0), {})
        return dict(sorted(found.items()))

    def values(
        self,
        metric: str,
        kind: Kind,
        bits: int,
        estimator: Estimator = "nsvq",
        replacement: bool = True,
        start: Start = "uniform",
    ) -> list[float]:
        """One metric of one setting, a value for each seed."""
        return [result[metric] for result in self.by_seed(kind, bits, estimator, replacement, start).values()]

    def variants(self, variant: str, metric: str, bits: int) -> list[float]:
        """One metric of the residual codebooks under another search."""
        return [result["variants"][variant][metric] for result in self.by_seed("residual", bits).values()]


def pairs(
    first: dict[int, dict[str, Any]], second: dict[int, dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Results of two settings with the same seed."""
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def differences(
    first: dict[int, dict[str, Any]], second: dict[int, dict[str, Any]], metric: str
) -> list[float]:
    """By how much the first is larger than the second, seed by seed."""
    return [one[metric] - other[metric] for one, other in pairs(first, second)]


def updates_to_reach(result: dict[str, Any], error: float) -> int | None:
    """The updates after which a run's error of the few test images is first at most ``error``."""
    reached = [
        point["updates"] for point in result["curve"] if point.get("test_error", float("inf")) <= error
    ]
    return reached[0] if reached else None
