"""Residual vector quantization: each codebook takes what those before it left (Juang and Gray 1982)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.errors import CodecError
from codec.quantize.codebooks import fit_kmeans, nearest_words


class ResidualVQ(nn.Module):
    """``num_codebooks`` full-dimensional codebooks searched greedily, one after the other.

    The first n codes of a vector are its coarser code: every prefix decodes. Codebooks are one parameter
    ``[M, K, D]``.
    """

    prefix_decodable = True

    def __init__(self, dim: int, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.dim, self.num_codebooks, self.codebook_size = dim, num_codebooks, codebook_size
        scale = (
            torch.logspace(0, -1, num_codebooks).view(-1, 1, 1) if num_codebooks > 1 else torch.ones(1, 1, 1)
        )
        self.words = nn.Parameter(torch.randn(num_codebooks, codebook_size, dim) * scale)

    @torch.no_grad()
    def fit_kmeans(self, x: Tensor, iterations: int = 10, seed: int = 0) -> None:
        """Start the codebooks by k-means on vectors x ``[N, D]``, each on the residual of those before it.

        Raises:
            CodecError: fewer vectors than words, or values that are not finite.
        """
        generator = torch.Generator().manual_seed(seed)
        residual = x.float()
        for index in range(self.num_codebooks):
            words = fit_kmeans(residual, self.codebook_size, iterations, generator)
            self.words[index] = words
            residual = residual - words[nearest_words(residual, words)]

    @torch.no_grad()
    def encode(self, x: Tensor, n: int | Tensor | None = None, skip_finished: bool = False) -> Tensor:
        """Codes ``[N, M]`` int64 of vectors x ``[N, D]``; -1 from codebook ``n`` on.

        Args:
            x: vectors.
            n: codebooks to use: one number, one for each vector ``[N]``, or None for all.
            skip_finished: leave vectors out of the search once their n is reached. That saves time in
            training, but the matrix
                products then see other row counts, so that the codes of a vector may depend on its
                neighbours' n.

        Raises:
            CodecError: n is out of range.
        """
        x = x.float()
        limits = self._limits(n, x)
        codes = torch.full((x.shape[0], self.num_codebooks), -1, dtype=torch.int64, device=x.device)
        depth = int(limits.max()) if len(limits) else 0
        # One pass over the words; squaring and summing them takes two, a quarter of a live encoder step.
        half_norms = torch.linalg.vector_norm(self.words[:depth], dim=-1).square() / 2
        rows, residual = torch.arange(x.shape[0], device=x.device), x
        for index in range(depth):
            if skip_finished:
                unfinished = limits[rows] > index
                rows, residual = rows[unfinished], residual[unfinished]
            found = nearest_words(residual, self.words[index], half_norms[index])
            codes[rows, index] = found
            residual = residual - self.words[index][found]
        columns = torch.arange(self.num_codebooks, device=x.device)
        return torch.where(columns < limits.unsqueeze(1), codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum the words of codes ``[N, M]`` (or the first columns of them): ``[N, D]``; -1 adds nothing.

        Differentiable with respect to the codebooks. Words are added in codebook order, so that rows do not
        depend on each other.

        Raises:
            CodecError: a code is out of range.
        """
        if codes.shape[1] > self.num_codebooks or bool((codes >= self.codebook_size).any()):
            raise CodecError(
                f"codes must lie below {self.codebook_size} in at most {self.num_codebooks} codebooks"
            )
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.codebook_size
        chosen = nn.functional.embedding(codes.clamp_min(0) + offsets, self.words.flatten(0, 1))
        chosen = torch.where((codes >= 0).unsqueeze(-1), chosen, 0.0)
        total = self.words.new_zeros(codes.shape[0], self.dim)
        for word in chosen.unbind(1):
            total = total + word
        return total

    def _limits(self, n: int | Tensor | None, x: Tensor) -> Tensor:
        limits = torch.as_tensor(self.num_codebooks if n is None else n, device=x.device).expand(x.shape[0])
        if len(limits) and not 0 <= int(limits.min()) <= int(limits.max()) <= self.num_codebooks:
            raise CodecError(f"the number of codebooks must lie between 0 and {self.num_codebooks}")
        return limits
