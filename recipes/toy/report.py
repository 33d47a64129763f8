"""Tables and plots of the study on toy data, from the runs that are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codec.quantize.complexity import additive_wmops, product_wmops, residual_wmops
from recipes.common.plots import band, figure, save
from recipes.common.records import Results
from recipes.common.report import number_text, spread, start_readme, table, verdict, write_section
from recipes.toy.study import (
    BASELINES,
    QUANTIZERS,
    Data,
    Published,
    Setting,
    Size,
    Study,
    Trained,
    is_published,
    variance,
)

_PLOT = """![errors by bits and by the cost of the search](errors.png)

Bands: the middle 95 % of the runs. Dotted: published; dashed: codebooks from k-means."""
_LABELS = {
    "residual": "residual",
    "residual_beam": "residual, beam 16",
    "additive": "additive",
    "product": "product",
    "kmeans_residual": "residual, k-means",
    "kmeans_product": "product, k-means",
    "product_rotated": "product, rotated",
    "opq": "product, rotated, k-means (OPQ)",
    "minibatch_residual": "residual, MiniBatchKMeans",
    "lsq": "additive, least squares (LSQ)",
}
_COLORS = {"residual": "tab:blue", "additive": "tab:red", "product": "tab:green"}
_VERDICTS = {"holds": "lower", "does not hold": "higher", "not decided": "undecided", "equal": "equal"}
# Errors by (data, dimensions, bits, method), then by seed.
Errors = Mapping[tuple[str, int, int, str], dict[int, float]]


def collect(results: Results[Setting]) -> Errors:
    """The mean square errors of the finished runs; the residual search with a beam counts as a method."""
    errors: dict[tuple[str, int, int, str], dict[int, float]] = {}
    for setting, runs in results.items():
        place = (setting.data, setting.dim, setting.bits)
        errors[*place, setting.method] = {seed: run["mse"] for seed, run in runs.items()}
        if setting.method == "residual":
            errors[*place, "residual_beam"] = {seed: run["mse_beam"] for seed, run in runs.items()}
    return errors


def write_report(
    study: Study,
    size: Size,
    errors: Errors,
    missing: int,
    published: Sequence[Published],
    folder: Path,
) -> None:
    """Write ``errors.png`` and the results in ``README.md`` to a folder; ``missing`` runs are to come.

    A folder without a README gets one that holds the results alone.
    """
    readme, groups = start_readme(folder), _groups(size, errors)
    if not groups:
        write_section(readme, "results", "No run of this size is finished yet.")
        return
    save(_plot(study, size, errors, published, groups), folder / "errors.png")
    parts = [_PLOT, _facts(study, size, errors)]
    if missing:
        parts.append(f"{missing} runs of this size are not finished yet.")
    for data, dim in groups:
        known = next((each for each in published if (each.data, each.dim) == (data, dim)), None)
        parts += [f"### {data.capitalize()}, {dim} dimensions", _results(size, errors, data, dim, known)]
        parts.append(_claims(size, errors, data, dim))
    write_section(readme, "results", "\n\n".join(parts))


def _groups(size: Size, errors: Errors) -> list[tuple[Data, int]]:
    """The kinds of vectors with finished runs, published ones first."""
    groups: list[tuple[Data, int]] = [
        (data, dim)
        for dim in size.dims
        for data in ("correlated", "uncorrelated")  # type: ignore[misc]
        if any(errors.get((data, dim, bits, "residual")) for bits in size.bits)
    ]
    return sorted(groups, key=lambda group: not is_published(*group))


def _facts(study: Study, size: Size, errors: Errors) -> str:
    updates, batch = size.training.updates, size.training.batch
    number = number_text(len(seeds) for (*_, method), seeds in errors.items() if method != "lsq")
    squares = number_text(len(seeds) for (*_, method), seeds in errors.items() if method == "lsq")
    return (
        f"Runs of each setting: {number} (least squares {squares}); M = {study.num_codebooks},"
        f" fitted to {size.learn:,} vectors in {updates:,} updates of {batch} after a k-means start, measured"
        f" on {size.held_out:,} others. The additive search has a beam of {size.train_beam} in training and"
        f" {study.beam} in measuring. Mean square errors of a coordinate with Student's 95 % interval."
    )


def _results(size: Size, errors: Errors, data: Data, dim: int, published: Published | None) -> str:
    methods = [
        method for method in _LABELS if any(errors.get((data, dim, bits, method)) for bits in size.bits)
    ]
    digits = 3 if variance(data) < 100 else 2
    rows = []
    for method in methods:
        seeds = [list(errors.get((data, dim, bits, method), {}).values()) for bits in size.bits]
        rows.append([_LABELS[method], *(spread(values, digits) for values in seeds)])
        if published is not None and method in QUANTIZERS:
            known = dict(zip(published.bits, getattr(published, method), strict=True))
            cells = [f"{known[bits]:.{digits}f}" if bits in known else "-" for bits in size.bits]
            rows.append([f"*{method}, published*", *cells])
    return table(["bits", *map(str, size.bits)], rows)


def _claims(size: Size, errors: Errors, data: Data, dim: int) -> str:
    """By how much the first of two methods has the smaller error, seed by seed, and a verdict."""
    pairs = [
        ("residual", "kmeans_residual"),
        ("product", "kmeans_product"),
        ("additive", "residual"),
        ("additive", "residual_beam"),
        ("residual", "product"),
        ("product", "additive"),
        ("additive", "lsq"),
    ]
    rows = []
    for first, second in pairs:
        cells = []
        for bits in size.bits:
            low = errors.get((data, dim, bits, first), {})
            high = errors.get((data, dim, bits, second), {})
            gains = [100 * (1 - low[seed] / high[seed]) for seed in sorted(low.keys() & high.keys())]
            cells.append(f"{spread(gains, 2)}, {_VERDICTS[verdict(gains)]}" if gains else "-")
        if set(cells) != {"-"}:
            rows.append([f"{_LABELS[first]} against {_LABELS[second]}", *cells])
    head = "How much smaller the error of the first is, in %, and whether the interval leaves zero out:"
    return f"{head}\n\n{table(['bits', *map(str, size.bits)], rows)}"


def _wmops(study: Study, dim: int, bits: int, method: Trained) -> float:
    sizes = (dim, study.num_codebooks, 2 ** (bits // study.num_codebooks))
    if method == "additive":
        return additive_wmops(*sizes, study.beam)
    return residual_wmops(*sizes, "mac") if method == "residual" else product_wmops(*sizes, "mac")


def _plot(
    study: Study,
    size: Size,
    errors: Errors,
    published: Sequence[Published],
    groups: Sequence[tuple[Data, int]],
) -> Any:
    plot, axes = figure(columns=2, rows=max(1, len(groups)), height=3.4)
    for (by_bits, by_cost), (data, dim) in zip(axes, groups, strict=False):
        known = [each for each in published if (each.data, each.dim) == (data, dim)]
        for method in QUANTIZERS:
            values = [list(errors.get((data, dim, bits, method), {}).values()) for bits in size.bits]
            style = {"color": _COLORS[method]}
            band(by_bits, size.bits, values, method, **style)
            costs = [_wmops(study, dim, bits, method) for bits in size.bits]
            band(by_cost, costs, values, method, **style)
            for each in known:
                shown = dict(zip(each.bits, getattr(each, method), strict=True))
                bits = [at for at in size.bits if at in shown]
                by_bits.plot(bits, [shown[at] for at in bits], ":", label=f"{method}, published", **style)
        for method in BASELINES:
            values = [list(errors.get((data, dim, bits, method), {}).values()) for bits in size.bits]
            color = _COLORS[method.removeprefix("kmeans_")]
            band(by_bits, size.bits, values, _LABELS[method], color=color, ls="--")
        by_bits.set(xlabel="bits", ylabel="mean square error", title=f"{data}, {dim} dimensions")
        by_cost.set(xlabel="million operations a vector", xscale="log", title="by the cost of the search")
        by_bits.legend(fontsize=6)
    return plot
