"""Tables and plots of the study on nearest-neighbour search, from the runs that are finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codec.quantize.complexity import additive_wmops, product_wmops, residual_wmops
from recipes.ann_search.claims import claims_at_64_bit, claims_by_cost
from recipes.ann_search.results import Found, labels, recall, recall_16
from recipes.ann_search.study import (
    DEPTHS,
    FEW_CODEBOOKS,
    MANY_BITS,
    MANY_CODEBOOKS,
    QUANTIZERS,
    Quantizer,
    Size,
    Study,
)
from recipes.ann_search.vecs import SearchSet
from recipes.common.plots import band, figure, save
from recipes.common.report import number_text, spread, start_readme, table, write_nothing_yet, write_section

_PLOT = """![recall by T, by bits and by the cost of the search](recall.png)

Bands: the middle 95 % of the runs. Dotted: published, on SIFT1M."""
_CLAIMS = """Differences of recall in percentage points, seed by seed, with Student's 95 % interval: a claim
"holds" where the interval is above zero. The residual search with a beam and LSQ are beyond what was
published; our codebooks and those of LSQ, searched alike, tell what is owed to the codebooks."""
_COST_CLAIMS = """The same of recall@16, by bits. At equal cost, the recall of the cheaper search is read off
the line between its rates."""
_COUNTS = """WMOPS of a vector. Ours count a multiplication with its addition as one, and the additive search,
with a beam of {beam}, by tables; published are the papers' counts, for their searches
(docs/bottlenecks.md, "Complexity")."""
_COLORS = {"residual": "tab:blue", "additive": "tab:red", "product": "tab:green"}
_SHOWN_DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)


def write_report(
    study: Study,
    size: Size,
    vectors: SearchSet,
    results: Found,
    missing: int,
    published: dict[str, Any],
    folder: Path,
) -> None:
    """Write ``recall.png`` and the results in ``README.md`` to a folder; ``missing`` runs are to come.

    A folder without a README gets one that holds the results alone.
    """
    readme, costs = start_readme(folder), _costs(size, vectors.base.shape[1])
    if not results:
        write_nothing_yet(readme)
        return
    save(_plot(size, results, published, costs), folder / "recall.png")
    parts = [_PLOT, _facts(size, vectors, results)]
    if missing:
        parts.append(f"{missing} runs of this size are not finished yet.")
    if any(many == MANY_CODEBOOKS for many, *_ in results):
        parts += ["### Recall at 64 bit", _recall(study, size, results, published)]
        parts += ["### What was claimed at 64 bit, and what is found here", _CLAIMS]
        parts += [claims_at_64_bit(study, size, results, _SHOWN_DEPTHS)]
    if any(many == FEW_CODEBOOKS for many, *_ in results):
        parts += ["### Recall@16 against the cost of the search"]
        parts += [_COUNTS.format(beam=size.beam)]
        parts += [_by_cost(size, results, published["recall_16"], costs)]
        parts += ["### What was claimed by cost, and what is found here", _COST_CLAIMS]
        parts += [claims_by_cost(size, results, costs)]
    write_section(readme, "results", "\n\n".join(parts))


def _facts(size: Size, vectors: SearchSet, results: Found) -> str:
    many, few = (
        number_text(len(runs) for (number, *_), runs in results.items() if number == codebooks)
        for codebooks in (MANY_CODEBOOKS, FEW_CODEBOOKS)
    )
    return (
        f"{len(vectors.learn):,} vectors to fit to, {len(vectors.base):,} in the base,"
        f" {len(vectors.query):,} queries; {size.training.updates:,} updates of {size.training.batch} after a"
        f" k-means start, the additive search with a beam of {size.train_beam} in training. Runs"
        f" of each setting at 64 bit: {many}, with {FEW_CODEBOOKS} codebooks: {few}. Recall in % with"
        " Student's 95 % interval over runs; error relative to the energy of the vectors; CPU time of one"
        " thread, with other programs running."
    )


def _recall(study: Study, size: Size, results: Found, published: dict[str, Any]) -> str:
    rows = []
    for method, label in labels(study, size).items():
        runs = results.get((MANY_CODEBOOKS, MANY_BITS, method), {})
        if runs:
            recalls = [spread(list(recall(results, method, depth).values()), 1) for depth in _SHOWN_DEPTHS]
            error = spread([run["error"] for run in runs.values()], 4)
            encoding = f"{np.mean([run['encode_us'] for run in runs.values()]):.0f}"
            rows.append([label, *recalls, error, encoding])
    given, alone = published["recall"], published["recall_residual"]
    shown = {method: (given["T"], values) for method, values in given.items() if method != "T"}
    # Published in a figure of its own, at other depths.
    shown["residual, baseline"] = alone["T"], alone["residual, baseline"]
    for method, (depths, values) in shown.items():
        known = dict(zip(depths, values, strict=True))
        cells = [f"{100 * known[depth]:.1f}" if depth in known else "-" for depth in _SHOWN_DEPTHS]
        rows.append([f"*{method}, published, SIFT1M*", *cells, "-", "-"])
    return table(["T", *map(str, _SHOWN_DEPTHS), "error", "µs"], rows)


def _costs(size: Size, dim: int) -> dict[Quantizer, dict[int, float]]:
    """Million operations a vector by bits."""
    costs: dict[Quantizer, dict[int, float]] = {method: {} for method in QUANTIZERS}
    for bits in size.cost_bits:
        sizes = (dim, FEW_CODEBOOKS, 2 ** (bits // FEW_CODEBOOKS))
        costs["residual"][bits] = residual_wmops(*sizes, "mac")
        costs["additive"][bits] = additive_wmops(*sizes, size.beam)
        costs["product"][bits] = product_wmops(*sizes, "mac")
    return costs


def _by_cost(
    size: Size, results: Found, published: dict[str, Any], costs: dict[Quantizer, dict[int, float]]
) -> str:
    rows = []
    for method in QUANTIZERS:
        rows.append(
            [method, *(spread(list(recall_16(results, method, bits).values()), 1) for bits in size.cost_bits)]
        )
        known = dict(zip(published["bits"], published[method], strict=True))
        shown = [f"{100 * known[bits]:.1f}" if bits in known else "-" for bits in size.cost_bits]
        rows.append([f"*{method}, published, SIFT1M*", *shown])
        rows.append([f"{method}, WMOPS", *(f"{costs[method][bits]:.4f}" for bits in size.cost_bits)])
        known = dict(zip(published["bits"], published[f"{method}, WMOPS"], strict=True))
        shown = [f"{known[bits]:.4f}" if bits in known else "-" for bits in size.cost_bits]
        rows.append([f"*{method}, WMOPS, published*", *shown])
    return table(["bits", *map(str, size.cost_bits)], rows)


def _plot(
    size: Size, results: Found, published: dict[str, Any], costs: dict[Quantizer, dict[int, float]]
) -> Any:
    plot, axes = figure(columns=3, width=4.6)
    by_depth, by_bits, by_cost = axes[0]
    for method in (*QUANTIZERS, "kmeans_residual", "kmeans_product", "lsq", "additive_polished"):
        base = {"lsq": "additive", "additive_polished": "additive"}.get(
            method, method.removeprefix("kmeans_")
        )
        style = {"color": _COLORS[base], "ls": "-" if method in QUANTIZERS else "--"}
        if method == "additive_polished":
            style["ls"] = "-."
        values = [list(recall(results, method, depth).values()) for depth in DEPTHS]
        band(by_depth, DEPTHS, values, method.replace("_", ", "), **style)
    for method in QUANTIZERS:
        style = {"color": _COLORS[method]}
        values = [list(recall_16(results, method, bits).values()) for bits in size.cost_bits]
        band(by_bits, size.cost_bits, values, method, **style)
        band(by_cost, [costs[method][bits] for bits in size.cost_bits], values, method, **style)
        depths, recalls = published["recall"]["T"], np.array(published["recall"][method])
        by_depth.plot(depths, 100 * recalls, ":", label=f"{method}, published, SIFT1M", **style)
        known = np.array(published["recall_16"][method])
        by_bits.plot(published["recall_16"]["bits"], 100 * known, ":", **style)
        by_cost.plot(published["recall_16"][f"{method}, WMOPS"], 100 * known, ":", **style)
    by_depth.set(xlabel="T", ylabel="recall@T, %", xscale="log", title="64 bit")
    by_bits.set(xlabel="bits", ylabel="recall@16, %", title="4 codebooks")
    by_cost.set(xlabel="million operations a vector", xscale="log", title="by the cost of the search")
    by_depth.legend(fontsize=6)
    return plot
