"""Means over clips with their confidence intervals, and what was left out of them."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from codec.evaluation.scores import Score
from codec.extras import require

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """The mean of one metric over ``n`` clips.

    ``half_width`` is half the 95 % confidence interval of the mean, None below two clips; ``mean`` is None
    for n = 0. ``missing`` counts the clips without a value, by reason.
    """

    mean: float | None
    half_width: float | None
    n: int
    missing: dict[str, int] = field(default_factory=dict)


def defined(scores: Iterable[Score], metric: str) -> list[float]:
    """The values of the scores that have one; the others are logged as a warning, by their reasons."""
    scores = list(scores)
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        said = ", ".join(f"{count} x {reason}" for reason, count in _missing(scores).items())
        log.warning("%s is left out for %d of %d: %s", metric, len(scores) - len(values), len(scores), said)
    return values


def summarize(scores: Iterable[Score]) -> Summary:
    """Take the mean of the scores that have a value, with Student's t interval, and count the others."""
    scores = list(scores)
    values = np.array([score.value for score in scores if score.value is not None])
    missing = _missing(scores)
    if values.size == 0:
        return Summary(None, None, 0, missing)
    half_width = None
    if values.size > 1 and np.all(np.isfinite(values)):
        quantile = float(require("scipy.special", extra="eval").stdtrit(values.size - 1, 0.975))
        half_width = quantile * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Summary(float(values.mean()), half_width, int(values.size), missing)


def _missing(scores: Iterable[Score]) -> dict[str, int]:
    return dict(Counter(score.reason or "no reason given" for score in scores if score.value is None))
