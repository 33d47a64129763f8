from __future__ import annotations

import math

import numpy as np
import pytest

from codec.evaluation.metrics import Score
from codec.evaluation.statistics import summarize


def test_mean_and_interval_of_three_values() -> None:
    summary = summarize(Score(value) for value in (1.0, 2.0, 3.0))
    assert (summary.mean, summary.n, summary.missing) == (2.0, 3, {})
    # Student's t for two degrees of freedom is 4.3027, the standard error 1 / sqrt(3).
    assert summary.half_width == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)


def test_clips_without_a_value_are_counted_by_reason() -> None:
    scores = [Score(2.0), Score(None, "silent"), Score(None, "short"), Score(None, "silent")]
    summary = summarize(scores)
    assert (summary.mean, summary.half_width, summary.n) == (2.0, None, 1)
    assert summary.missing == {"silent": 2, "short": 1}


def test_no_values_give_no_mean() -> None:
    summary = summarize([Score(None, "silent")])
    assert (summary.mean, summary.half_width, summary.n) == (None, None, 0)


def test_an_infinite_value_leaves_the_mean_without_interval() -> None:
    summary = summarize([Score(math.inf), Score(1.0)])
    assert (summary.mean, summary.half_width) == (math.inf, None)


def test_the_interval_holds_the_true_mean_in_about_95_of_100_cases(rng: np.random.Generator) -> None:
    hits = 0
    for _ in range(1000):
        summary = summarize(Score(value) for value in rng.normal(3.0, 0.5, 6))
        assert summary.mean is not None
        assert summary.half_width is not None
        hits += abs(summary.mean - 3.0) <= summary.half_width
    # Five standard deviations of the binomial count around 950.
    assert 915 <= hits <= 985
