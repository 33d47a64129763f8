"""Beam search over the union of all codebooks, by tables of inner products (Babenko and Lempitsky 2014).

With n_j = |c_j|^2 / 2 and G_jk = c_j c_k, half of |x - sum of S|^2 - |x|^2 for a set S of words is the sum
of n_j - x c_j over S plus that of G_jk over its pairs. So one product of the vectors with all words, and
one table of the words among themselves, replace all further work on vectors: to add a word to a set is to
add a row of the table.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codec.products import Product
from codec.quantize.codebooks import half_norms_of, smallest_of_rows

# The most words whose table is kept: 268 MB. Beyond, rows of it are computed as they are needed.
_MOST_TABLED_WORDS = 8192
# Numbers that one step of a search holds; more do not fit the cache, fewer waste time on calls.
_STEP_NUMBERS = 1 << 20
# How many scores are looked at together before the best groups are looked into.
_GROUP = 16


class UnionTables:
    """What is known of codebooks ``words`` ``[M, K, D]`` before any vector comes.

    Attributes:
        num_codebooks: M.
        codebook_size: K.
        words: all words in a row ``[M K, D]``.
        half_norms: n, ``|word|^2 / 2`` ``[M K]``.
        products: G ``[M K, M K]``, or None where it would be too large.
        keys: a random number for each word, ``[M K]`` int64: their sum tells sets of words apart in any
        order.
    """

    def __init__(self, words: Tensor) -> None:
        self.num_codebooks, self.codebook_size, _ = words.shape
        self.words = words.detach().flatten(0, 1)
        self.half_norms = half_norms_of(self.words)
        self._product = Product()
        tabled = len(self.words) <= _MOST_TABLED_WORDS
        self.products = self.words @ self.words.t() if tabled else None
        generator = torch.Generator().manual_seed(0)
        bounds = torch.iinfo(torch.int64)
        keys = torch.randint(
            bounds.min, bounds.max, (len(self.words),), generator=generator, device=generator.device
        )
        self.keys = keys.to(words.device)

    def scores(self, x: Tensor) -> Tensor:
        """What each word alone adds to |x - sum|^2 / 2, for x ``[N, D]``: ``[N, M K]``."""
        return self._product(-x, self.words, self.half_norms)

    def rows(self, word: Tensor, codebooks: Tensor) -> Tensor:
        """G of words ``[L]`` with all words of some codebooks, other ones for each, ``[L, u]``: ``[L, u,
        K]``."""
        size, count = self.codebook_size, self.num_codebooks
        if self.products is not None:
            parts = self.products.view(-1, size)
        else:
            # Other numbers of rows than multiples of 8 give other last bits.
            padded = torch.nn.functional.pad(word, (0, -len(word) % 8))
            parts = (self.words[padded] @ self.words.t()).view(-1, size)
            word = torch.arange(len(word), device=word.device)
        index = word.unsqueeze(1) * count + codebooks
        return parts.index_select(0, index.flatten()).view(*codebooks.shape, size)


@torch.no_grad()
def search_union(tables: UnionTables, scores: Tensor, num_codebooks: int, beam: int) -> Tensor:
    """The best sets found with one word from each of the first ``num_codebooks`` codebooks, taken in any
    order.

    Each step joins every set that was kept with every word of the codebooks it lacks and keeps the
    ``beam`` best sets that differ as sets. With a beam that is never full, that is a search over all
    combinations. All but `UnionTables.rows` is done element by element: the codes of a vector do not
    depend on the vectors beside it.

    Args:
        tables: of the codebooks.
        scores: `UnionTables.scores` of the vectors ``[N, M K]``, which are written over.
        num_codebooks: n, from 1 on.
        beam: how many sets to keep.

    Returns:
        codes ``[N, n]`` int64 in the order of the codebooks.
    """
    width = num_codebooks * tables.codebook_size
    if beam == 1:
        return _search_single(tables, scores[:, :width], num_codebooks)
    most = math.comb(num_codebooks, num_codebooks // 2) * tables.codebook_size**num_codebooks
    rows = max(1, _STEP_NUMBERS // (min(beam, most) * width))
    found = [
        _search_block(tables, block[:, :width], num_codebooks, beam) for block in torch.split(scores, rows)
    ]
    return torch.cat([scores.new_empty(0, num_codebooks, dtype=torch.int64), *found])


def _search_single(tables: UnionTables, scores: Tensor, num_codebooks: int) -> Tensor:
    """See `search_union`, with a beam of 1: a single set grows where it is, and its score says nothing."""
    count, size = len(scores), tables.codebook_size
    vectors = torch.arange(count, device=scores.device)
    total = scores.view(count, num_codebooks, size)
    unused = torch.arange(num_codebooks, device=scores.device).repeat(count, 1)
    codes = torch.empty_like(unused)
    while True:
        index = smallest_of_rows(total.view(count, -1))
        slot, code = index // size, index % size
        codebook = unused[vectors, slot]
        codes[vectors, codebook] = code
        if total.shape[1] == 1:
            return codes
        # The last codebook takes the place of the one that is used.
        total[vectors, slot] = total[:, -1].clone()
        unused[vectors, slot] = unused[:, -1].clone()
        unused = unused[:, :-1]
        # The sum stands where the rows were gathered: that shrinks with each step, and is in the cache.
        total = tables.rows(codebook * size + code, unused).add_(total[:, :-1])


def _search_block(tables: UnionTables, scores: Tensor, num_codebooks: int, beam: int) -> Tensor:
    """See `search_union`, with ``scores`` ``[N, n K]`` of so few vectors that a step fits the cache.

    The state of W sets S for each vector: ``unused``, the u codebooks that each lacks ``[N W, u]``, and
    ``total``, the score of S with each of their words ``[N W, u, K]``.
    """
    count, size = len(scores), tables.codebook_size
    device = scores.device
    vectors = torch.arange(count, device=device).unsqueeze(1)
    total = scores.view(count, num_codebooks, size)
    unused = torch.arange(num_codebooks, device=device).expand(count, -1)
    score = scores.new_zeros(count, 1)
    keys = torch.zeros(count, 1, dtype=torch.int64, device=device)
    codes = torch.full((count, num_codebooks), -1, dtype=torch.int64, device=device)
    for step in range(1, num_codebooks + 1):
        sets, width = score.shape[1], unused.shape[1] * size
        kept = 1 if step == num_codebooks else min(beam, math.comb(num_codebooks, step) * size**step)
        # A set of this many words has at most as many parents: among so many children enough differ.
        surplus = 1 if kept == 1 or sets == 1 else step
        value, index = _smallest(total.view(count, -1), min(kept * surplus, sets * width))
        parent = vectors * sets + index // width
        slot, code = index % width // size, index % size
        word = unused[parent, slot] * size + code
        key = keys.flatten()[parent] + tables.keys[word]
        if surplus > 1:
            value, best = _drop_repeated(value, key).topk(kept, dim=1, largest=False)
            parent, slot, word, key = (each.gather(1, best) for each in (parent, slot, word, key))
        flat = parent.flatten()
        codes = codes.index_select(0, flat).scatter(1, (word // size).view(-1, 1), (word % size).view(-1, 1))
        if step == num_codebooks:
            break
        # The place of each codebook that stays, among those of the parent.
        stays = torch.arange(width // size - 1, device=device).expand(len(flat), -1)
        stays = stays + (stays >= slot.view(-1, 1))
        unused = unused.index_select(0, flat).gather(1, stays)
        places = (flat.unsqueeze(1) * (width // size) + stays).flatten()
        total = total.reshape(-1, size).index_select(0, places).view(len(flat), -1, size)
        total += tables.rows(word.flatten(), unused)
        # A repeated set stands at infinity, and so do its children.
        gained = value - score.flatten()[parent]
        total += torch.where(torch.isfinite(gained), gained, torch.inf).view(-1, 1, 1)
        score, keys = value, key
    return codes


def _drop_repeated(value: Tensor, key: Tensor) -> Tensor:
    """Scores ``[N, L]``, infinite where an earlier one in the row has the same key."""
    ordered, order = key.sort(dim=1, stable=True)
    repeated = torch.zeros_like(order, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return value.masked_fill(repeated.scatter(1, order, repeated), torch.inf)


def _smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` smallest of each row of ``[N, L]``, smallest first, and their indices.

    They lie in the ``count`` groups with the smallest minima, which are found by one vectorized pass: at
    32 768 scores that is several times faster than topk of all.
    """
    length = values.shape[1]
    if length % _GROUP or count * _GROUP * 2 > length:
        return _select(values, count)
    groups = length // _GROUP
    minima = values.view(-1, _GROUP, groups).amin(dim=1)
    best = _select(minima, count)[1]
    members = (torch.arange(_GROUP, device=values.device) * groups).view(1, 1, -1)
    candidates = (best.unsqueeze(2) + members).flatten(1)
    value, at = _select(values.gather(1, candidates), count)
    return value, candidates.gather(1, at)


def _select(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    if count == 1:
        value, at = values.min(dim=1, keepdim=True)
    else:
        value, at = values.topk(count, dim=1, largest=False)
    return value, at
