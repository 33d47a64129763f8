"""What a search costs: weighted operations, as Vali and Bäckström count them (ICASSP 2023), in millions a
vector.

Weights are those of ITU-T G.191 for single precision: an addition, multiplication, comparison or move is
1. WMOPS are operations a second: these numbers times the vectors a second. Three ways to count:

- "paper": the published counts. Of the residual and the product search they leave out one of the M stages.
- "exact": the same with all stages.
- "mac": all stages, with norms computed beforehand and a multiplication and addition as one operation, as
processors do
  them.
"""

from __future__ import annotations

from typing import Literal

from codec.errors import CodecError

Count = Literal["paper", "exact", "mac"]


def plain_wmops(dim: int, bits: int, count: Count = "exact") -> float:
    """Full search of one codebook of ``2 ** bits`` words of ``dim`` numbers: exponential in the bits."""
    size = 2**bits
    return (_distances(size, dim, count) + _smallest(size)) / 1e6


def beam_products(dim: int, num_codebooks: int, codebook_size: int, beam: int) -> int:
    """Multiplications of the residual search with a beam: each sum that is kept, with all words of the next
    codebook. The first codebook has one sum, that of no words."""
    sums = 1
    total = 0
    for _ in range(num_codebooks):
        total += sums * codebook_size * dim
        sums = min(beam, sums * codebook_size)
    return total


def residual_wmops(dim: int, num_codebooks: int, codebook_size: int, count: Count = "exact") -> float:
    """Greedy search of ``num_codebooks`` codebooks, the vector less the chosen word each time."""
    stage = _distances(codebook_size, dim, count) + _smallest(codebook_size) + dim
    if count == "paper":
        total = (num_codebooks - 1) * (stage + dim) + (num_codebooks - 2) * dim
    else:
        total = num_codebooks * stage + 2 * (num_codebooks - 1) * dim
    return total / 1e6


def product_wmops(dim: int, num_codebooks: int, codebook_size: int, count: Count = "exact") -> float:
    """Search of ``num_codebooks`` codebooks of blocks of ``dim / num_codebooks`` numbers.

    Raises:
        CodecError: the blocks are not equal.
    """
    if dim % num_codebooks:
        raise CodecError(f"{num_codebooks} codebooks do not divide the {dim} numbers of a vector")
    part = dim // num_codebooks
    stage = _distances(codebook_size, part, count) + _smallest(codebook_size) + part
    stages = num_codebooks - 1 if count == "paper" else num_codebooks
    return (2 * dim + stages * stage) / 1e6


def additive_wmops(
    dim: int,
    num_codebooks: int,
    codebook_size: int,
    beam: int,
    count: Literal["paper", "table"] = "table",
) -> float:
    """Beam search over the union of the codebooks.

    "paper" is the published search, which computes distances and sums of vectors in every step. "table" is
    that of `codec.quantize.union`: the products of the vector with all words as multiply-accumulates, then
    two additions for each set and word. Both count choosing the best W as W passes over what is left, without
    telling repeated sets apart; groups of scores make the real choice cheaper. "paper" chooses W of each
    set's children and then W of these, "table" once of all, which is up to a fifth cheaper.

    Raises:
        CodecError: another count is asked for.
    """
    if count not in ("paper", "table"):
        raise CodecError(f'the additive search is counted as "paper" or "table", not {count!r}')
    words = num_codebooks * codebook_size
    if count == "table":
        total = words * (dim + 1) + _best(words, beam)
        for step in range(1, num_codebooks):
            children = beam * (num_codebooks - step) * codebook_size
            total += 2 * children + _best(children, beam)
        return total / 1e6
    total = words * (3 * dim - 1) + _best(words, beam) + beam
    masks = 1
    for step in range(1, num_codebooks):
        masks = masks * (num_codebooks - step + 1) // step
        left = (num_codebooks - step) * codebook_size
        total += 2 * step * beam * dim + 4 * (masks - 1) + beam * left * (3 * dim - 1)
        total += beam * _best(left, beam) + beam**2 + beam**2 * dim + beam**2 * step * dim + 3 * beam**2 * dim
        last = step == num_codebooks - 1
        total += _smallest(beam**2) if last else _best(beam**2, beam) + beam
    return total / 1e6


def _distances(words: int, dim: int, count: Count) -> int:
    return words * (dim + 1) if count == "mac" else words * (3 * dim - 1)


def _smallest(numbers: int) -> int:
    return 2 * (numbers - 1)


def _best(numbers: int, kept: int) -> int:
    return sum(_smallest(numbers - done) for done in range(min(kept, numbers)))
