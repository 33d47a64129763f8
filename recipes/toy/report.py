"""Tables and plots of the study on toy data, from the runs that are finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes.common.plots import band, figure, save
from recipes.common.report import number_text, spread, start_readme, table, write_nothing_yet, write_section
from recipes.toy.claims import claims
from recipes.toy.results import LABELS, Errors, finished_groups
from recipes.toy.study import (
    BASELINES,
    QUANTIZERS,
    Data,
    Published,
    Size,
    Study,
    variance,
    wmops,
)

_PLOT = """![errors by bits and by the cost of the search](errors.png)

Bands: the middle 95 % of the runs. Dotted: published; dashed: codebooks from k-means."""
_CLAIMS = """How much smaller the error is in %, seed by seed, with Student's 95 % interval: a claim "holds"
where the interval is above zero. The residual search with a beam and LSQ are beyond what was published. Costs
are those of the searches as they are done here; between its rates the cheaper one's error is interpolated."""
_COLORS = {"residual": "tab:blue", "additive": "tab:red", "product": "tab:green"}


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
    readme, groups = start_readme(folder), finished_groups(size, errors)
    if not groups:
        write_nothing_yet(readme)
        return
    save(_plot(study, size, errors, published, groups), folder / "errors.png")
    parts = [_PLOT, _facts(study, size, errors)]
    if missing:
        parts.append(f"{missing} runs of this size are not finished yet.")
    parts += ["### What was claimed, and what is found here", _CLAIMS, claims(study, size, errors)]
    for data, dim in groups:
        known = next((each for each in published if (each.data, each.dim) == (data, dim)), None)
        parts += [f"### {data.capitalize()}, {dim} dimensions", _results(size, errors, data, dim, known)]
    write_section(readme, "results", "\n\n".join(parts))


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
        method for method in LABELS if any(errors.get((data, dim, bits, method)) for bits in size.bits)
    ]
    digits = 3 if variance(data) < 100 else 2
    rows = []
    for method in methods:
        seeds = [list(errors.get((data, dim, bits, method), {}).values()) for bits in size.bits]
        rows.append([LABELS[method], *(spread(values, digits) for values in seeds)])
        if published is not None and method in QUANTIZERS:
            known = dict(zip(published.bits, getattr(published, method), strict=True))
            cells = [f"{known[bits]:.{digits}f}" if bits in known else "-" for bits in size.bits]
            rows.append([f"*{method}, published*", *cells])
    return table(["bits", *map(str, size.bits)], rows)


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
            costs = [wmops(study, dim, bits, method) for bits in size.bits]
            band(by_cost, costs, values, method, **style)
            for each in known:
                shown = dict(zip(each.bits, getattr(each, method), strict=True))
                bits = [at for at in size.bits if at in shown]
                by_bits.plot(bits, [shown[at] for at in bits], ":", label=f"{method}, published", **style)
        for name in BASELINES:
            values = [list(errors.get((data, dim, bits, name), {}).values()) for bits in size.bits]
            color = _COLORS[name.removeprefix("kmeans_")]
            band(by_bits, size.bits, values, LABELS[name], color=color, ls="--")
        by_bits.set(xlabel="bits", ylabel="mean square error", title=f"{data}, {dim} dimensions")
        by_cost.set(xlabel="million operations a vector", xscale="log", title="by the cost of the search")
        by_bits.legend(fontsize=6)
    return plot
