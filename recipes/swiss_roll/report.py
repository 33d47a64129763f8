"""Tables and pictures of the swiss roll study, from the runs that are finished."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.common.plots import band, figure, save
from recipes.common.records import Results
from recipes.common.report import (
    number_text,
    spread,
    start_readme,
    table,
    verdict,
    write_nothing_yet,
    write_section,
)
from recipes.swiss_roll.study import ESTIMATORS, STARTS, Setting, Size, Study, swiss_roll

_PLOTS = """![codebooks of seed 0](codebooks.png)
![dead words by updates](curves.png)

Red words are the codebook, grey points the data. Bands: the middle 95 % of the seeds."""
_LABELS = {"nsvq": "NSVQ", "ste": "STE", "ema": "EMA"}


def write_report(study: Study, size: Size, results: Results[Setting], folder: Path) -> None:
    """Write ``codebooks.png``, ``curves.png`` and the results in ``README.md`` to a folder.

    A folder without a README gets one that holds the results alone.
    """
    readme = start_readme(folder)
    if not results:
        write_nothing_yet(readme)
        return
    save(_codebooks(study, results), folder / "codebooks.png")
    save(_curves(results), folder / "curves.png")
    parts = [_PLOTS, _facts(size, results), _results(results), _claims(results)]
    write_section(readme, "results", "\n\n".join(parts))


def _facts(size: Size, results: Results[Setting]) -> str:
    number = number_text(len(runs) for runs in results.values())
    return (
        f"{number} seeds, {size.updates:,} updates of {size.batch} points, measured on {size.test_points:,}"
        " fresh points. Means with Student's 95 % interval."
    )


def _results(results: Results[Setting]) -> str:
    rows = []
    for start, replacement, estimator in itertools.product(STARTS, (False, True), ESTIMATORS):
        runs = results.get(Setting(start, estimator, replacement, 0), {})
        rows.append(
            [
                f"{start}, {_LABELS[estimator]}{', replacement' if replacement else ''}",
                spread([run["dead"] for run in runs.values()], 1),
                spread([run["perplexity"] for run in runs.values()], 1),
                spread([1e3 * run["error"] for run in runs.values()], 3),
            ]
        )
    return table(["words start", "dead words of 256", "perplexity", "error, 1e-3"], rows)


def _claims(results: Results[Setting]) -> str:
    lines = []
    for start, replacement in itertools.product(STARTS, (False, True)):
        for other in ("ste", "ema"):
            pairs = _pairs(results, start, replacement, other)
            fewer = [second["dead"] - first["dead"] for first, second in pairs]
            lower = [1e3 * (second["error"] - first["error"]) for first, second in pairs]
            lines.append(
                [
                    f"{start}, {'with' if replacement else 'without'} replacement, against {_LABELS[other]}",
                    spread(fewer, 1),
                    verdict(fewer),
                    spread(lower, 3),
                    verdict(lower),
                ]
            )
    header = ["NSVQ", "dead words fewer", "fewer dead", "error lower by, 1e-3", "lower error"]
    return f"Differences by seed:\n\n{table(header, lines)}\n\n{_words(results)}"


def _words(results: Results[Setting]) -> str:
    """Where words are in the end, without replacement."""
    apart = [
        float(np.abs(np.subtract(first["words"], second["words"])).max())
        for start in STARTS
        for first, second in _pairs(results, start, False, "ste")
    ]
    dead, central = 0, 0
    for start in STARTS:
        for run in results.get(Setting(start, "ema", False, 0), {}).values():
            dead += run["dead"]
            central += int((np.hypot(*np.array(run["words"]).T) < 0.01).sum())
    if not apart or not dead:
        return ""
    return (
        f"Without replacement, words of NSVQ and STE with the same seed are at most {max(apart):.4f} apart in"
        f" a coordinate; of EMA's {dead:,} dead words, {central:,} lie within 0.01 of the origin."
    )


def _pairs(
    results: Results[Setting], start: str, replacement: bool, other: str
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Results of NSVQ and of another estimator with the same seed."""
    first = results.get(Setting(start, "nsvq", replacement, 0), {})  # type: ignore[arg-type]
    second = results.get(Setting(start, other, replacement, 0), {})  # type: ignore[arg-type]
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def _codebooks(study: Study, results: Results[Setting]) -> Any:
    points = swiss_roll(3000, study.noise, torch.Generator().manual_seed(0)).numpy()
    plot, axes = figure(columns=3, rows=4, width=3.2, height=3.2)
    for row, (start, replacement) in enumerate(itertools.product(STARTS, (False, True))):
        for axis, estimator in zip(axes[row], ESTIMATORS, strict=True):
            axis.scatter(*points.T, s=1, color="0.8")
            runs = results.get(Setting(start, estimator, replacement, 0), {})
            title = f"{start}, {_LABELS[estimator]}{', replacement' if replacement else ''}"
            if 0 in runs:
                axis.scatter(*np.array(runs[0]["words"]).T, s=5, color="tab:red")
                title += f"\n{runs[0]['dead']} dead"
            axis.set(title=title, xlim=(-2.4, 4.1), ylim=(-2.4, 4.1), xticks=[], yticks=[], aspect="equal")
    return plot


def _curves(results: Results[Setting]) -> Any:
    plot, axes = figure(columns=2)
    for axis, start in zip(axes[0], STARTS, strict=True):
        for replacement, style in ((False, "--"), (True, "-")):
            for color, estimator in zip(("tab:blue", "tab:orange", "tab:green"), ESTIMATORS, strict=True):
                runs = results.get(Setting(start, estimator, replacement, 0), {})
                if runs:
                    curves = [run["curve"] for run in runs.values()]
                    updates = [point["updates"] for point in curves[0]]
                    dead = [[point["dead"] for point in points] for points in zip(*curves, strict=True)]
                    label = f"{_LABELS[estimator]}{', replacement' if replacement else ''}"
                    band(axis, updates, dead, label, color=color, ls=style)
        axis.set(xlabel="updates", ylabel="dead words", title=f"words started {start} the data")
        axis.legend(fontsize=7)
    return plot
