"""Access to the finished runs of the study on toy data."""

from __future__ import annotations

from collections.abc import Mapping

from recipes.common.records import Results
from recipes.toy.study import Data, Setting, Size, is_published

LABELS = {
    "residual": "residual",
    "residual_beam": "residual, beam 16",
    "additive": "additive",
    "product": "product",
    "kmeans_residual": "residual, k-means",
    "kmeans_product": "product, k-means",
    "product_rotated": "product, rotated",
    "opq": "product, rotated, k-means (OPQ)",
    "minibatch_residual": "residual, MiniBatchKMeans",
    "lsq": "additive, least squares (LSQ)",
}
# Errors by (data, dimensions, bits, method), then by seed.
Errors = Mapping[tuple[str, int, int, str], dict[int, float]]


def collect(results: Results[Setting]) -> Errors:
    """The mean square errors of the finished runs; the residual search with a beam counts as a method."""
    errors: dict[tuple[str, int, int, str], dict[int, float]] = {}
    for setting, runs in results.items():
        place = (setting.data, setting.dim, setting.bits)
        errors[*place, setting.method] = {seed: run["mse"] for seed, run in runs.items()}
        if setting.method == "residual":
            errors[*place, "residual_beam"] = {seed: run["mse_beam"] for seed, run in runs.items()}
    return errors


def finished_groups(size: Size, errors: Errors) -> list[tuple[Data, int]]:
    """The kinds of vectors with finished runs, published ones first."""
    groups: list[tuple[Data, int]] = [
        (data, dim)
        for dim in size.dims
        for data in ("correlated", "uncorrelated")
        if any(errors.get((data, dim, bits, "residual")) for bits in size.bits)
    ]
    return sorted(groups, key=lambda group: not is_published(*group))
