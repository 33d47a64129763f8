"""How far the means lie from the published ones, how sure the clips make them, and what all methods share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recipes.common.records import Results
from recipes.common.report import spread, table
from recipes.speech_envelope.results import LABELS, TITLES, Published, by_clip, by_seed, header
from recipes.speech_envelope.study import Method, Setting, Size

_METRICS = ("pesq_wb", "psnr")


def distances(size: Size, results: Results[Setting], published: Published) -> str:
    """A table of how far means are from the published ones, and whether they rise with the bitrate."""
    rows = []
    for metric in (*_METRICS, "stoi"):
        for method, label in LABELS.items():
            known = published.means(metric, method, size.bitrates)
            means = {bitrate: by_seed(results, method, bitrate, metric) for bitrate in size.bitrates}
            own = {bitrate: float(np.mean(list(seeds.values()))) for bitrate, seeds in means.items() if seeds}
            if not own:
                continue
            away = [own[bitrate] - known[bitrate] for bitrate in own if bitrate in known]
            cells = [f"{min(away):+.2f}", f"{max(away):+.2f}"] if away else ["-", "-"]
            rises = "yes" if _rises(list(own.values())) else "no"
            rows.append([f"{TITLES[metric][0]}: {label}", *cells, rises])
    return table(["mean less published mean", "least", "most", "rises with every bitrate"], rows)


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in itertools.pairwise(values))


def clip_means(size: Size, results: Results[Setting]) -> str:
    """A table of means with their intervals over clips: how far other clips may lead."""
    rows = []
    for metric in _METRICS:
        title, digits = TITLES[metric]
        for method, label in LABELS.items():
            clips = [by_clip(results, method, bitrate, metric) for bitrate in size.bitrates]
            rows.append([f"{title}: {label}", *(spread(values, digits) for values in clips)])
    return table(header(size.bitrates), rows)


def shared_offsets(size: Size, results: Results[Setting], published: Published) -> str:
    """Of the distances to the published means: what all methods share, and what each has of its own.

    A method's own part is taken clip by clip, so that what makes a clip hard for all drops out of its
    interval.
    """
    parts = []
    for metric in _METRICS:
        title, _ = TITLES[metric]
        methods = _compared(size, results, published, metric)
        if len(methods) < 2:
            continue
        offsets = [_offsets(results, published, methods, bitrate, metric) for bitrate in size.bitrates]
        shared = [each.mean(axis=0) for each in offsets]
        rows = [[f"{title}: mean of the methods", *(spread(each.tolist(), 3) for each in shared)]]
        for index, method in enumerate(methods):
            own = [each[index] - mean for each, mean in zip(offsets, shared, strict=True)]
            rows.append(
                [f"{title}: {LABELS[method]}, beyond that", *(spread(each.tolist(), 3) for each in own)]
            )
        means = np.array([each.mean(axis=1) for each in offsets])
        part = float(np.square(means.mean(axis=1)).sum() * len(methods) / np.square(means).sum())
        parts.append(
            f"{title}: the means of the methods make up {part:.0%} of the {means.size} squared distances.\n\n"
            + table(header(size.bitrates), rows)
        )
    return "\n\n".join(parts)


def _compared(size: Size, results: Results[Setting], published: Published, metric: str) -> list[Method]:
    """The methods that are published and measured at all bitrates."""
    return [
        method
        for method in LABELS
        if len(published.means(metric, method, size.bitrates)) == len(size.bitrates)
        and all(by_clip(results, method, bitrate, metric) for bitrate in size.bitrates)
    ]


def _offsets(
    results: Results[Setting], published: Published, methods: Sequence[Method], bitrate: int, metric: str
) -> NDArray[np.float64]:
    """Each clip's value less the published mean, ``[methods, clips]``."""
    values = np.array([by_clip(results, method, bitrate, metric) for method in methods])
    known = [published.means(metric, method, [bitrate])[bitrate] for method in methods]
    offsets: NDArray[np.float64] = values - np.array(known)[:, None]
    return offsets
