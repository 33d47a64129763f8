"""Distances of vectors from all words of a codebook, the bulk of every search."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.products import Product
from codec.quantize.codebooks import half_norms_of, smallest_of_rows

# Vectors at a time whose distances to all words are held.
_BLOCK_ROWS = 16_384


class Distances:
    """Of codebooks ``words`` ``[M, K, D]``, for as long as they stay as they are.

    A vector is given as its overshoot o = s - x, with s the sum of the words chosen so far: a word more makes
    the squared error |o + word|^2, half of which, less what all words share, is |word|^2 / 2 + o word. So
    one product of the overshoot with the words tells all.

    Attributes:
        words: the codebooks.
        half_norms: ``|word|^2 / 2`` ``[M, K]``.
    """

    def __init__(self, words: Tensor) -> None:
        self.words = words
        self.half_norms = half_norms_of(words)
        # Words that learn change with every step: to reorder them would not pay.
        self._products = None if words.requires_grad else [Product() for _ in words]

    def of(self, index: int, overshoot: Tensor) -> Tensor:
        """Distances ``[N, K]`` of overshoots ``[N, D]`` from the words of a codebook."""
        words, half_norms = self.words[index], self.half_norms[index]
        if self._products is None:
            return F.linear(overshoot, words, half_norms)
        return self._products[index](overshoot, words, half_norms)

    def nearest(self, index: int, overshoot: Tensor) -> Tensor:
        """The words ``[N]`` that leave the least of overshoots ``[N, D]``; the lowest index wins a tie."""
        if len(overshoot) <= _BLOCK_ROWS:
            return smallest_of_rows(self.of(index, overshoot))
        return torch.cat([self.nearest(index, block) for block in torch.split(overshoot, _BLOCK_ROWS)])
