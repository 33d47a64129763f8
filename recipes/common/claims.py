"""Published claims, held against differences that runs of the same seed have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.common.report import interval, spread, table, verdict


@dataclass(frozen=True)
class Claim:
    """A sentence, and by position (a number of bits, say) the differences that decide on it, one a seed.

    ``judge`` makes a verdict of the differences at a position; by default they must be above zero.
    """

    sentence: str
    differences: Mapping[int, Sequence[float]]
    judge: Callable[[Sequence[float]], str] = verdict


def claims_table(unit: str, positions: Sequence[int], claims: Sequence[Claim], digits: int) -> str:
    """A row for each claim of which a run is finished: its differences by position, and what they say."""
    rows = []
    for claim in claims:
        known = {at: claim.differences.get(at, ()) for at in positions}
        if any(known.values()):
            cells = [spread(values, digits) for values in known.values()]
            found = {at: claim.judge(values) for at, values in known.items() if values}
            rows.append([claim.sentence, *cells, summary(found)])
    if not rows:
        return "Too few runs are finished to hold two against each other."
    return table([unit, *map(str, positions), "found"], rows)


def summary(verdicts: Mapping[int, str]) -> str:
    """The verdict that all positions share, or which one is found where."""
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    places: dict[str, list[str]] = {}
    for at, found in verdicts.items():
        places.setdefault(found, []).append(str(at))
    return "; ".join(f"{found} at {', '.join(where)}" for found, where in places.items())


def no_more_than(bound: float) -> Callable[[Sequence[float]], str]:
    """A judge of closeness: "holds" where the whole 95 % interval of the differences lies within +-``bound``.

    "does not hold" where none of it does, "not decided" between them and with a single seed.
    """

    def judge(differences: Sequence[float]) -> str:
        """By the interval of all of them."""
        found = interval(differences)
        if found.mean is None:
            return "not run"
        if found.half_width is None:
            return "not decided"
        if abs(found.mean) + found.half_width <= bound:
            return "holds"
        return "does not hold" if abs(found.mean) - found.half_width > bound else "not decided"

    return judge


def at_cost(points: Mapping[float, float], cost: float) -> float | None:
    """What a method gives at a cost, on the line between its points over the logarithm of the cost.

    None where the cost is not between those of its points.

    Args:
        points: value by cost.
        cost: in the same unit.
    """
    costs = sorted(points)
    if not costs or not costs[0] <= cost <= costs[-1]:
        return None
    return float(np.interp(np.log(cost), np.log(costs), [points[each] for each in costs]))
