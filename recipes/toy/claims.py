"""The published claims about toy data, held against the finished runs."""

from __future__ import annotations

import math

from recipes.common.claims import Claim, at_cost, claims_table, no_more_than
from recipes.toy.results import LABELS, Errors, finished_groups
from recipes.toy.study import Data, Size, Study, Trained, wmops

# What is still close, in percent of the error.
_CLOSE = 1.0
# By data and dimensions: which has the smaller error, and from which bits to which.
_ORDERS: dict[tuple[Data, int], list[tuple[str, str, int, int]]] = {
    ("uncorrelated", 64): [
        ("product", "additive", 20, 40),
        ("product", "residual", 20, 40),
        ("additive", "product", 12, 16),
    ],
    ("uncorrelated", 128): [("additive", "product", 24, 40), ("product", "residual", 24, 40)],
    ("uncorrelated", 256): [("additive", "product", 16, 40), ("residual", "product", 16, 40)],
}
_CORRELATED = [("additive", "residual", 0, 40), ("residual", "product", 0, 40)]
Gains = dict[int, list[float]]


def claims(study: Study, size: Size, errors: Errors) -> str:
    """A table: claim, by bits how much smaller the error is in %, and a verdict by 95 % intervals."""
    found: list[Claim] = []
    for data, dim in finished_groups(size, errors):
        where = f"{data}, D = {dim}"
        for first, second, least, most in _pairs(data, dim):
            gains = _gains(size, errors, (data, dim), first, second)
            kept = {bits: values for bits, values in gains.items() if least <= bits <= most}
            found.append(Claim(f"{where}: {LABELS[first]} below {LABELS[second]}", kept))
        gains = _gains(size, errors, (data, dim), "product", "kmeans_product")
        sentence = f"{where}: product within {_CLOSE:g} % of product, k-means"
        found.append(Claim(sentence, gains, no_more_than(_CLOSE)))
        for cheap, dear in (("product", "residual"), ("residual", "additive")):
            sentence = f"{where}, at the cost of {dear} with so many bits: {cheap} below {dear}"
            found.append(Claim(sentence, _at_equal_cost(study, size, errors, (data, dim), cheap, dear)))  # type: ignore[arg-type]
    return claims_table("bits", size.bits, found, digits=2)


def _pairs(data: Data, dim: int) -> list[tuple[str, str, int, int]]:
    """What is compared on a kind of vectors: the published claims, and what was not published."""
    published = _CORRELATED if data == "correlated" else _ORDERS.get((data, dim), [])
    more = [("additive", "residual_beam", 0, 40), ("additive", "lsq", 0, 40)]
    return [("residual", "kmeans_residual", 0, 40), *published, *more]


def _gains(size: Size, errors: Errors, group: tuple[Data, int], first: str, second: str) -> Gains:
    """By bits how much smaller the error of the first is, in %, seed by seed."""
    gains = {}
    for bits in size.bits:
        low, high = (errors.get((*group, bits, method), {}) for method in (first, second))
        gains[bits] = [100 * (1 - low[seed] / high[seed]) for seed in sorted(low.keys() & high.keys())]
    return gains


def _at_equal_cost(
    study: Study, size: Size, errors: Errors, group: tuple[Data, int], cheap: Trained, dear: Trained
) -> Gains:
    """The same with the cheaper search at the cost of the dearer one; its errors' logs are interpolated."""
    gains: Gains = {}
    for bits in size.bits:
        cost, gains[bits] = wmops(study, group[1], bits, dear), []
        for seed, error in sorted(errors.get((*group, bits, dear), {}).items()):
            runs = {rate: errors.get((*group, rate, cheap), {}) for rate in size.bits}
            points = {
                wmops(study, group[1], rate, cheap): math.log(run[seed])
                for rate, run in runs.items()
                if seed in run
            }
            other = at_cost(points, cost)
            if other is not None:
                gains[bits].append(100 * (1 - math.exp(other) / error))
    return gains
