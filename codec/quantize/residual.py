"""Residual vector quantization: each codebook takes what those before it left (Juang and Gray 1982)."""

from __future__ import annotations

import torch
from torch import Tensor

from codec.quantize.beam import beam_search
from codec.quantize.codebooks import fit_kmeans, nearest_words, runs_ahead
from codec.quantize.distances import Distances
from codec.quantize.quantizer import VectorQuantizer, sum_words


class ResidualVQ(VectorQuantizer):
    """``num_codebooks`` full-dimensional codebooks searched one after the other.

    The first n codes of a vector are its coarser code: every prefix decodes. With ``beam`` above 1,
    `encode` keeps that many partial sums after each codebook instead of the best one alone; the decoder is
    the same. Words that do not learn are searched in the
    directions that hold nearly all of their energy, see `codec.quantize.subspace`.
    """

    prefix_decodable = True

    def __init__(
        self,
        dim: int,
        num_codebooks: int,
        codebook_size: int,
        estimator: str = "nsvq",
        beam: int = 1,
        train_beam: int = 1,
        replacement: str = "usage",
    ) -> None:
        super().__init__(dim, num_codebooks, codebook_size, dim, estimator, beam, train_beam, replacement)

    def _fit(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        fit_residual(self.words, x, iterations, generator)

    def _search(self, x: Tensor, limits: Tensor, beam: int, training: bool) -> Tensor:
        space = self._subspace.of(self.words)
        return residual_search(space.distances, space.project(x), limits, beam, skip_finished=training)

    def _compose(self, chosen: Tensor, codes: Tensor) -> Tensor:
        return sum_words(chosen)

    def _targets(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.unsqueeze(1) - (chosen.cumsum(dim=1) - chosen)


@torch.no_grad()
def residual_search(
    distances: Distances, x: Tensor, limits: Tensor, beam: int, skip_finished: bool = False
) -> Tensor:
    """Codes ``[N, M]`` of x ``[N, D]``, found codebook by codebook with ``beam`` sums kept after each.

    Args:
        distances: of the codebooks.
        x: vectors.
        limits: codebooks to use ``[N]``; the codes beyond are -1.
        beam: 1 is the greedy search.
        skip_finished: see `greedy_search`.
    """
    if beam == 1:
        return greedy_search(distances, x, limits, skip_finished)
    return beam_search(distances, x, limits, beam)


@torch.no_grad()
def greedy_search(distances: Distances, x: Tensor, limits: Tensor, skip_finished: bool = False) -> Tensor:
    """Codes ``[N, M]`` of x ``[N, D]``, each the word nearest to what the codebooks before it left.

    Args:
        distances: of the codebooks.
        x: vectors.
        limits: codebooks to use ``[N]``; the codes beyond are -1.
        skip_finished: leave vectors out once their limit is reached. That saves time in training, but the
            matrix products then see other row counts, so that the codes of a vector may depend on its
            neighbours' limits. On a GPU it would cost time, and all codebooks are searched.
    """
    words = distances.words
    codes = torch.full((x.shape[0], words.shape[0]), -1, dtype=torch.int64, device=x.device)
    if skip_finished and runs_ahead(x):
        depth, skip_finished = len(words), False
    else:
        depth = int(limits.max()) if len(limits) else 0
    rows, overshoot = torch.arange(x.shape[0], device=x.device), -x
    for index in range(depth):
        if skip_finished:
            unfinished = limits[rows] > index
            rows, overshoot = rows[unfinished], overshoot[unfinished]
        found = distances.nearest(index, overshoot)
        codes[rows, index] = found
        overshoot = words[index].index_select(0, found).add_(overshoot)
    columns = torch.arange(words.shape[0], device=x.device)
    return torch.where(columns < limits.unsqueeze(1), codes, -1)


@torch.no_grad()
def fit_residual(words: Tensor, x: Tensor, iterations: int, generator: torch.Generator) -> None:
    """Set codebooks ``[M, K, D]`` by k-means on x ``[N, D]``, each on the residual of those before it."""
    residual = x
    for index in range(words.shape[0]):
        found = fit_kmeans(residual, words.shape[1], iterations, generator)
        words[index] = found
        residual = residual - found[nearest_words(residual, found)]
