"""What a metric gives: a figure, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codec.evaluation.mel import FloatArray

DECODED_SILENT = "the decoded signal is silent"


@dataclass(frozen=True)
class Score:
    """One figure of one clip: ``value``, or None and the ``reason`` why the metric gives none."""

    value: float | None
    reason: str | None = None


Metric = Callable[[FloatArray, FloatArray, int], Score]
"""``metric(reference, degraded, sample_rate)``: arrays of one shape [T], aligned to the sample, and Hz."""


def as_pair(reference: FloatArray, degraded: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both signals as float64; raises ``ValueError`` for arrays that are not two of one shape [T]."""
    if reference.ndim != 1 or reference.shape != degraded.shape:
        raise ValueError(
            f"a metric compares two signals of one shape [T], not {reference.shape}, {degraded.shape}"
        )
    return np.asarray(reference, np.float64), np.asarray(degraded, np.float64)


def silence(reference: FloatArray, degraded: FloatArray) -> Score | None:
    """Give the score of a pair in which one side has no sound at all, None for any other pair."""
    if reference.size == 0:
        return Score(None, "the clip is empty")
    if not np.any(reference):
        return Score(None, "the original is silent")
    if not np.any(degraded):
        return Score(None, DECODED_SILENT)
    return None
