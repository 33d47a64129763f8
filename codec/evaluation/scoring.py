"""Scores of many round trips, computed side by side in processes: PESQ alone takes a tenth of real time."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import numpy as np

from codec.errors import CodecError
from codec.evaluation.mel import FloatArray
from codec.evaluation.metrics import METRICS
from codec.evaluation.scores import Score

if TYPE_CHECKING:
    from codec.evaluation.evaluate import RoundTrip


def score(name: str, reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Score arrays [T] or [T, C] with a metric of ``METRICS``: the mean over channels if all have one."""
    if reference.ndim == 1:
        return METRICS[name](reference, degraded, sample_rate)
    scores = [METRICS[name](a, b, sample_rate) for a, b in zip(reference.T, degraded.T, strict=True)]
    values = [each.value for each in scores if each.value is not None]
    if len(values) < len(scores):
        return next(each for each in scores if each.value is None)
    return Score(float(np.mean(values)))


def score_pair(
    names: Sequence[str], reference: FloatArray, degraded: FloatArray, sample_rate: int
) -> dict[str, Score]:
    """Score one pair of arrays [T] or [T, C] with several metrics."""
    return {name: score(name, reference, degraded, sample_rate) for name in names}


def score_trips(
    trips: Sequence[RoundTrip],
    names: Sequence[str],
    jobs: int | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> list[RoundTrip]:
    """Give round trips the scores of the metrics named.

    Args:
        trips: their own scores are replaced.
        names: of ``METRICS``.
        jobs: processes, by default one a processor; with 1 all happens in this one.
        advance: called with 1 after each round trip.

    Raises:
        CodecError: a process was ended from outside, or a metric's package refuses to work.
    """
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(trips))
    work = [(list(names), trip.clip.audio, trip.decoded, trip.clip.sample_rate) for trip in trips]
    if jobs <= 1 or not names:
        scored = []
        for trip, arguments in zip(trips, work, strict=True):
            scored.append(dataclasses.replace(trip, scores=score_pair(*arguments)))
            advance(1)
        return scored
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(score_pair, *arguments) for arguments in work]
        try:
            for future in as_completed(futures):
                future.result()
                advance(1)
        except BrokenProcessPool as error:
            raise CodecError(
                "a process that scores was ended from outside: free some memory, or use --jobs 1"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [
        dataclasses.replace(trip, scores=future.result()) for trip, future in zip(trips, futures, strict=True)
    ]
