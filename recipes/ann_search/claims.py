"""The published claims about nearest-neighbour search, held against the finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recipes.ann_search.results import Found, labels, recall, recall_16
from recipes.ann_search.study import Quantizer, Size, Study
from recipes.common.claims import Claim, at_cost, claims_table, no_more_than

# What is still close, in percentage points: as far as published recalls lie from those of k-means.
_CLOSE = 4.0
# Which finds more at 64 bit; the last four are not published.
_ORDERS = [
    ("additive", "residual"),
    ("residual", "product"),
    ("residual", "kmeans_residual"),
    ("additive", "residual_beam"),
    ("additive_polished", "lsq"),
    ("additive_polished", "lsq_searched"),
    ("lsq_searched", "lsq"),
]
_PAIRS: list[tuple[Quantizer, Quantizer]] = [("additive", "residual"), ("residual", "product")]


def claims_at_64_bit(study: Study, size: Size, found: Found, depths: Sequence[int]) -> str:
    """A table: claim, by T the difference of recalls in percentage points, and a verdict."""
    names = labels(study, size)
    claims = [
        Claim(
            f"{names[first]} above {names[second]}",
            {
                depth: _differences(recall(found, first, depth), recall(found, second, depth))
                for depth in depths
            },
        )
        for first, second in _ORDERS
    ]
    close = {
        depth: _differences(recall(found, "product", depth), recall(found, "kmeans_product", depth))
        for depth in depths
    }
    sentence = f"{names['product']} within {_CLOSE:g} points of {names['kmeans_product']}"
    claims.insert(3, Claim(sentence, close, no_more_than(_CLOSE)))
    return claims_table("T", depths, claims, digits=1)


def claims_by_cost(size: Size, found: Found, costs: Mapping[Quantizer, Mapping[int, float]]) -> str:
    """The same of recall@16 with 4 codebooks, by bits: at equal bits, and at equal cost of the search.

    Args:
        size: of the study.
        found: the finished runs.
        costs: of a vector, by quantizer and bits.
    """
    claims = []
    for first, second in _PAIRS:
        differences = {
            bits: _differences(recall_16(found, first, bits), recall_16(found, second, bits))
            for bits in size.cost_bits
        }
        claims.append(Claim(f"{first} above {second}", differences))
    for dear, cheap in _PAIRS:
        sentence = f"at the cost of {dear} with so many bits: {cheap} above {dear}"
        claims.append(Claim(sentence, _at_equal_cost(size, found, costs, cheap, dear)))
    return claims_table("bits", size.cost_bits, claims, digits=1)


def _differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def _at_equal_cost(
    size: Size,
    found: Found,
    costs: Mapping[Quantizer, Mapping[int, float]],
    cheap: Quantizer,
    dear: Quantizer,
) -> dict[int, list[float]]:
    """By bits of the dearer search how much more the cheaper one finds at its cost, seed by seed."""
    gains: dict[int, list[float]] = {}
    for bits in size.cost_bits:
        gains[bits] = []
        for seed, own in recall_16(found, dear, bits).items():
            runs = {rate: recall_16(found, cheap, rate) for rate in size.cost_bits}
            points = {costs[cheap][rate]: run[seed] for rate, run in runs.items() if seed in run}
            other = at_cost(points, costs[dear][bits])
            if other is not None:
                gains[bits].append(other - own)
    return gains
