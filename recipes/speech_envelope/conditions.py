"""Tables of the side study: what the codebook's start and the replacement of unused words come to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.common.records import Results
from recipes.common.report import spread, table, verdict
from recipes.speech_envelope.results import (
    LABELS,
    TITLES,
    Finished,
    Published,
    by_seed,
    runs_of,
)
from recipes.speech_envelope.study import USUAL, Condition, Method, Setting, Size, Start, side_runs

_METRICS = ("pesq_wb", "psnr")
_STARTS: dict[Start, str] = {
    "kmeans": "k-means start",
    "drawn": "words drawn from the levels",
    "normal": "standard normal words",
}
_Sides = Mapping[Condition, Results[Setting]]


def side_tables(size: Size, finished: Finished, published: Published) -> str:
    """The means under each condition beside the published ones, and whether the published order holds."""
    side, wanted = size.side, len(side_runs(size))
    missing = wanted - sum(len(seeds) for found in finished.side.values() for seeds in found.values())
    unfinished = f" {missing} of {wanted} trainings are not finished yet." if missing else ""
    sides = {USUAL: finished.study, **finished.side}
    columns = [(metric, bitrate) for metric in _METRICS for bitrate in side.bitrates]
    head = [f"{TITLES[metric][0]}, {bitrate / 1000:g} kbit/s" for metric, bitrate in columns]
    means = table(
        ["condition", "trainings", "perplexity", *head],
        [
            _means(columns, method, condition, sides, published)
            for method in side.methods
            for condition in sides
        ],
    )
    claims = [_claim(columns, each, each, sides) for each in sides]
    claims += [
        _claim(columns, condition, Condition(condition.start, replacement=False), sides)
        for condition in sides
        if condition.replacement and Condition(condition.start, replacement=False) in sides
    ]
    order = table(["NSVQ above STE", *head], claims)
    return (
        "In brackets: mean less published mean. Perplexity: of the words over the last updates."
        f"{unfinished}\n\n{means}\n\nSeed by seed, and whether the interval leaves zero out:\n\n{order}"
    )


def _means(
    columns: list[tuple[str, int]], method: Method, condition: Condition, sides: _Sides, published: Published
) -> list[str]:
    results = sides[condition]
    runs = runs_of(results, method).values()
    cells = []
    for metric, bitrate in columns:
        values = list(by_seed(results, method, bitrate, metric).values())
        known = published.means(metric, method, [bitrate]).get(bitrate)
        away = f" ({np.mean(values) - known:+.2f})" if values and known is not None else ""
        cells.append(spread(values, TITLES[metric][1]) + away)
    perplexity = spread([float(np.mean(run["perplexity"])) for run in runs], 0)
    return [f"{LABELS[method]}: {_told(condition)}", str(len(runs)), perplexity, *cells]


def _claim(columns: list[tuple[str, int]], first: Condition, second: Condition, sides: _Sides) -> list[str]:
    """By how much NSVQ under the first condition is above STE under the second."""
    cells = []
    for metric, bitrate in columns:
        high = by_seed(sides[first], "nsvq", bitrate, metric)
        low = by_seed(sides[second], "ste", bitrate, metric)
        gains = [high[seed] - low[seed] for seed in sorted(high.keys() & low.keys())]
        cells.append(f"{spread(gains, 3)}, {verdict(gains)}" if gains else "-")
    told = _told(first) if first == second else f"{_STARTS[first.start]}, replacement for NSVQ alone"
    return [told, *cells]


def _told(condition: Condition) -> str:
    return f"{_STARTS[condition.start]}, {'' if condition.replacement else 'no '}replacement"
