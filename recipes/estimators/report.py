"""Tables and plots of the study of estimators, from the runs that are finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codec.config import Estimator
from recipes.common.plots import band, figure, save
from recipes.common.records import Results
from recipes.common.report import spread, start_readme, table, write_nothing_yet, write_section
from recipes.estimators.study import ESTIMATORS, FORMS, WITH_GRADIENTS, Form, Setting, Size
from recipes.image_vqvae.results import LABELS, Runs, updates_to_reach

_COLORS = dict(zip(ESTIMATORS, ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"), strict=True))
_PLOTS = "![test error and perplexity](curves.png)"
_FORM_NAMES = {
    "care": "k-means start and replacement",
    "bare": "uniform start, no replacement",
}
# Trainings of one kind: estimator to results by seed.
Group = Mapping[Estimator, Mapping[int, dict[str, Any]]]


def write_report(size: Size, results: Results[Setting], images: Runs, image_bits: int, folder: Path) -> None:
    """Write ``curves.png``, and the results in ``README.md``, to a folder.

    A folder without a README gets one that holds the results alone.
    """
    readme = start_readme(folder)
    if not results:
        write_nothing_yet(readme)
        return
    groups = {
        f"Toy vectors, {size.bits} bit, {_FORM_NAMES[form]}": _trainings(results, form) for form in FORMS
    }
    groups |= image_groups(images, image_bits)
    groups = {title: group for title, group in groups.items() if any(group.values())}
    if groups:
        save(_curves(groups), folder / "curves.png")
    parts = [_PLOTS] if groups else []
    parts += ["### Gradients against finite differences", gradient_table(results)]
    for title, group in groups.items():
        parts += [f"### {title}", training_table(group)]
    write_section(readme, "results", "\n\n".join(parts))


def image_groups(images: Runs, bits: int) -> dict[str, Group]:
    """The runs of the image study with one codebook of ``bits``, by how they were cared for."""
    forms: dict[str, dict[str, Any]] = {
        _FORM_NAMES["care"]: {"replacement": True, "start": "kmeans"},
        "uniform start, replacement": {"replacement": True, "start": "uniform"},
        _FORM_NAMES["bare"]: {"replacement": False, "start": "uniform"},
    }
    return {
        f"Images, {bits} bit, {name}": {
            estimator: images.by_seed("plain", bits, estimator, **form) for estimator in ESTIMATORS
        }
        for name, form in forms.items()
    }


def gradient_table(results: Results[Setting]) -> str:
    """How the mean gradients lie to the true ones."""
    header = [
        "",
        "seeds",
        "words: cosine",
        "length",
        "own loss",
        "noise",
        "encoder: cosine",
        "length",
        "own loss",
        "noise",
    ]
    rows, halves = [], []
    for estimator in WITH_GRADIENTS:
        runs = list(results.get(Setting("gradients", estimator, "care", 0), {}).values())
        row = [LABELS[estimator], str(len(runs))]
        for part in ("words", "encoder"):
            for name in ("cosine", "length", "own_cosine", "noise"):
                row.append(spread([run[part][name] for run in runs]))
            halves += [run[part]["differences_cosine"] for run in runs]
        rows.append(row)
    agreement = f"{min(halves):.2f} to {max(halves):.2f}" if halves else "-"
    note = f"The differences on two halves of the vectors agree to a cosine of {agreement}."
    return f"{table(header, rows)}\n\n{note}"


def training_table(group: Group) -> str:
    """Errors, usage, speed and spread of trainings that are alike but for the estimator."""
    header = ["", "seeds", "test error, 1e-3", "deviation over seeds", "perplexity", "unused words, %"]
    header.append("updates to equal error")
    reached = _updates_to_equal_error(group)
    rows = []
    for estimator, by_seed in group.items():
        runs = list(by_seed.values())
        if runs:
            errors = [1e3 * _test_error(run) for run in runs]
            rows.append(
                [
                    LABELS[estimator],
                    str(len(runs)),
                    spread(errors),
                    f"{np.std(errors, ddof=1):.3f}" if len(runs) > 1 else "-",
                    spread([run["perplexity"] for run in runs], 0),
                    spread([100 * run["unused"] for run in runs], 1),
                    spread(reached[estimator], 0),
                ]
            )
    return table(header, rows)


def _updates_to_equal_error(group: Group) -> dict[Estimator, list[float]]:
    """By seed the updates until an estimator has the error that the worst one has in the end."""
    known = {estimator: by_seed for estimator, by_seed in group.items() if by_seed}
    common = set.intersection(*(set(by_seed) for by_seed in known.values())) if known else set()
    reached: dict[Estimator, list[float]] = {estimator: [] for estimator in group}
    for seed in sorted(common):
        worst = max(by_seed[seed]["curve"][-1]["test_error"] for by_seed in known.values())
        for estimator, by_seed in known.items():
            updates = updates_to_reach(by_seed[seed], worst)
            assert updates is not None, "the last point of each curve is at most the worst one's"
            reached[estimator].append(updates)
    return reached


def _trainings(results: Results[Setting], form: Form) -> Group:
    return {estimator: results.get(Setting("training", estimator, form, 0), {}) for estimator in ESTIMATORS}


def _test_error(run: dict[str, Any]) -> float:
    """Of the whole test: the image study calls it by its unit."""
    return float(run["test_error"] if "test_error" in run else run["mse"])


def _curves(groups: Mapping[str, Group]) -> Any:
    plot, axes = figure(columns=2, rows=len(groups), height=3.2)
    for row, (title, group) in zip(axes, groups.items(), strict=True):
        for axis, quantity in zip(row, ("test_error", "perplexity"), strict=True):
            for estimator, by_seed in group.items():
                curves = [
                    [point for point in run["curve"] if "test_error" in point] for run in by_seed.values()
                ]
                if curves:
                    updates = [point["updates"] for point in curves[0]]
                    values = [[point[quantity] for point in points] for points in zip(*curves, strict=True)]
                    band(axis, updates, values, LABELS[estimator], color=_COLORS[estimator])
            axis.set(xlabel="updates", ylabel=quantity.replace("_", " "), yscale="log")
            axis.set_title(title, fontsize=8)
            axis.legend(fontsize=7)
    return plot
