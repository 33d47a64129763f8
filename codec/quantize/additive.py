"""Additive vector quantization: one word from each codebook, found in any order (Babenko and Lempitsky
2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.errors import CodecError
from codec.quantize.codebooks import nearest_words
from codec.quantize.kept import Kept
from codec.quantize.quantizer import VectorQuantizer, sum_words
from codec.quantize.residual import fit_residual, residual_search
from codec.quantize.union import UnionTables, search_union

# Vectors whose scores against all words are held at a time.
_SCORED_ROWS = 512


class AdditiveVQ(VectorQuantizer):
    """``num_codebooks`` full-dimensional codebooks whose words are chosen together.

    A beam search over the union of all unused codebooks keeps ``beam`` sets of words (``train_beam`` in
    training). The residual search is always among the candidates, greedy and with the same beam, so that the
    error is never above its: on codebooks that were fitted one after the other it often wins. ``polish``
    times each code is then chosen anew with the others held (iterated conditional modes, as in LSQ: Martinez
    et al. 2016).

    A vector with n codebooks uses the first n, searched together: a prefix of its codes is no coarser
    code. Indices come in the order of the codebooks, and decoding is a sum.

    The search holds tables of M K x M K numbers up to 8192 words; a quantizer whose words ask for no
    gradient keeps them from one call to the next.
    """

    prefix_decodable = False

    def __init__(
        self,
        dim: int,
        num_codebooks: int,
        codebook_size: int,
        estimator: str = "nsvq",
        beam: int = 16,
        train_beam: int = 4,
        polish: int = 0,
        replacement: str = "usage",
    ) -> None:
        if polish < 0:
            raise CodecError(f"polish must be at least 0, not {polish}")
        super().__init__(dim, num_codebooks, codebook_size, dim, estimator, beam, train_beam, replacement)
        self.polish = polish
        self._tables = Kept(UnionTables)

    def _fit(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        fit_residual(self.words, x, iterations, generator)

    @torch.no_grad()
    def _search(self, x: Tensor, limits: Tensor, beam: int, training: bool) -> Tensor:
        space = self._subspace.of(self.words)
        within, tables = space.project(x), self._tables.of(space.distances.words)
        blocks = zip(torch.split(within, _SCORED_ROWS), torch.split(limits, _SCORED_ROWS), strict=True)
        codes = torch.cat([self._search_union(*block, tables, beam) for block in blocks])
        for width in sorted({1, beam}):  # a beam may lose what the greedy search finds
            codes = self._better(x, residual_search(space.distances, within, limits, width), codes)
        for _ in range(self.polish):
            codes = self._better(x, self._polished(x, codes), codes)
        return codes

    def _search_union(self, x: Tensor, limits: Tensor, tables: UnionTables, beam: int) -> Tensor:
        """Codes ``[N, M]`` of so few vectors x that their scores can be held."""
        scores = tables.scores(x)
        codes = torch.full((len(x), self.num_codebooks), -1, dtype=torch.int64, device=x.device)
        counts = torch.unique(limits).tolist()
        for count in counts:
            if count:
                # Mostly all have the same number, and need no copy.
                rows = (limits == count).nonzero().flatten() if len(counts) > 1 else slice(None)
                codes[rows, :count] = search_union(tables, scores[rows], count, beam)
        return codes

    def _compose(self, chosen: Tensor, codes: Tensor) -> Tensor:
        return sum_words(chosen)

    def _targets(self, x: Tensor, chosen: Tensor) -> Tensor:
        return x.unsqueeze(1) - (chosen.sum(dim=1, keepdim=True) - chosen)

    def _better(self, x: Tensor, codes: Tensor, others: Tensor) -> Tensor:
        """Of two codes of each vector the one with the smaller error; the second where they are equal."""
        errors = [(x - self._sum(each)).square().sum(dim=1) for each in (codes, others)]
        return torch.where((errors[0] < errors[1]).unsqueeze(1), codes, others)

    def _sum(self, codes: Tensor) -> Tensor:
        """What `decode` gives, in one pass over the words."""
        words = self.words.flatten(0, 1)
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.codebook_size
        sent = (codes >= 0).to(words.dtype)
        return nn.functional.embedding_bag(
            codes.clamp_min(0) + offsets, words, mode="sum", per_sample_weights=sent
        )

    def _polished(self, x: Tensor, codes: Tensor) -> Tensor:
        """Each code in turn the nearest to what the others leave."""
        codes = codes.clone()
        chosen = self._chosen(codes)
        for index in range(self.num_codebooks):
            rest = x - sum_words(torch.cat([chosen[:, :index], chosen[:, index + 1 :]], dim=1))
            sent = codes[:, index] >= 0
            codes[:, index] = torch.where(sent, nearest_words(rest, self.words[index]), -1)
            chosen[:, index] = torch.where(sent.unsqueeze(1), self.words[index][codes[:, index]], 0.0)
        return codes
