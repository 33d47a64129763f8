"""Access to the finished runs of the study on nearest-neighbour search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recipes.ann_search.study import FEW_CODEBOOKS, MANY_BITS, MANY_CODEBOOKS, Setting, Size, Study
from recipes.common.records import Results

# By (codebooks, bits, method): results by seed.
Found = Mapping[tuple[int, int, str], dict[int, dict[str, Any]]]


def collect(results: Results[Setting]) -> Found:
    """The results of the finished runs."""
    return {
        (setting.num_codebooks, setting.bits, setting.method): dict(sorted(runs.items()))
        for setting, runs in results.items()
    }


def labels(study: Study, size: Size) -> dict[str, str]:
    """What the methods at 64 bit are called in tables, in their order."""
    wide = f"beam {study.wide_beam}, polish {study.polish}"
    return {
        "residual": "residual",
        "additive": f"additive, beam {size.beam}",
        "product": "product",
        "residual_beam": f"residual, beam {size.beam}",
        "additive_polished": f"additive, {wide}",
        "product_rotated": "product, rotated",
        "kmeans_residual": "residual, k-means",
        "kmeans_product": "product, k-means",
        "opq": "product, rotated, k-means (OPQ)",
        "lsq": "additive, least squares (LSQ)",
        "lsq_searched": f"LSQ's words, {wide}",
    }


def recall(found: Found, method: str, depth: int) -> dict[int, float]:
    """Recall@depth in percent at 64 bit, by seed."""
    runs = found.get((MANY_CODEBOOKS, MANY_BITS, method), {})
    return {seed: 100 * run["recall"][str(depth)] for seed, run in runs.items()}


def recall_16(found: Found, method: str, bits: int) -> dict[int, float]:
    """Recall@16 in percent with 4 codebooks, by seed."""
    runs = found.get((FEW_CODEBOOKS, bits, method), {})
    return {seed: 100 * run["recall"]["16"] for seed, run in runs.items()}
