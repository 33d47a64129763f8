"""Walking down the trees of words, for one payload or for many at a time."""

from __future__ import annotations

from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.prediction import Exact
from codec.bitstream.rangecoder import PRECISION_BITS, TOTAL
from codec.bitstream.tables import LOGIT_LIMIT, EntropyTables, Integers

# A walk takes so many stages. In each, all nodes that may be met are looked at together: in fewer stages they
# are more nodes, more stages take more calls.
_STAGES = 3


# Arithmetic with arrays of no dimensions takes half as long as with numbers.
_PRECISION, _SIGN = np.array(PRECISION_BITS), np.array(63)
_LOGIT_LIMIT = np.array(LOGIT_LIMIT, np.float32)


class _Cut(NamedTuple):
    """The words below a node of some level, and half of them, as arrays ``[]``."""

    words: Integers
    half: Integers


class _Stage(NamedTuple):
    """Some levels of the trees, in subtrees that begin at the nodes of the level above.

    Attributes:
        levels: how many.
        weight: float32 ``[M, S, r + 1, 2**levels - 1]``, the nodes' weights and their bias, scaled; the first
            stage has S = 1 subtree.
    """

    levels: int
    weight: Exact


class StagedTree:
    """The trees of a model's entropy tables; see `codec.bitstream.prediction` for the intervals in them."""

    def __init__(self, tables: EntropyTables) -> None:
        count, nodes = tables.node_bias.shape
        self._levels = tables.levels
        rows = np.empty((count, nodes, tables.node_weight.shape[2] + 1), np.float32)
        rows[..., :-1], rows[..., -1] = tables.node_weight, tables.node_bias
        rows *= np.ldexp(np.float32(1), -tables.shifts[2 + count :].astype(np.int64))[:, None, None]
        self._stages, depth = [], 0
        for part in np.array_split(np.arange(self._levels), min(_STAGES, self._levels)):
            weight = rows[:, _subtrees(depth, len(part))]
            self._stages.append(_Stage(len(part), np.ascontiguousarray(weight.transpose(0, 1, 3, 2))))
            depth += len(part)
        sizes = [1 << level for level in range(self._levels, 0, -1)]
        self._cuts = [_Cut(np.array(words), np.array(words // 2)) for words in sizes]
        self._left = tables.left.astype(np.int64)
        # Negative logits count from the end.
        self._left_of: list[int] = np.roll(self._left, -LOGIT_LIMIT).tolist()
        self._words = np.argsort(tables.leaves, axis=1)
        self._word_lists: list[list[int]] = self._words.tolist()

    def find_one(self, codebook: int, hidden: Exact, target: int) -> tuple[int, int, int]:
        """The code of a codebook whose interval holds a target, its start and its size.

        Args:
            codebook: its index.
            hidden: activations ``[r + 1]``, the last of them 1.
            target: 0 to 65535.
        """
        place, start, size, words = 0, 0, TOTAL, 1 << self._levels
        left_of = self._left_of
        for levels, weight in self._stages:
            logits = hidden.dot(weight[codebook, place]).tolist()
            node = 0
            for _ in range(levels):
                logit = floor(logits[node])
                if not -LOGIT_LIMIT <= logit < LOGIT_LIMIT:
                    logit = LOGIT_LIMIT - 1 if logit > 0 else -LOGIT_LIMIT
                left = ((size - words) * left_of[logit] >> PRECISION_BITS) + (words >> 1)
                if target < start + left:
                    node, size = 2 * node + 1, left
                else:
                    node, start, size = 2 * node + 2, start + left, size - left
                words >>= 1
            place = (place << levels) + node - len(logits)
        return self._word_lists[codebook][place], start, size

    def find(self, codebook: int, hidden: Exact, target: Integers) -> tuple[Integers, Integers, Integers]:
        """The codes of a codebook whose intervals hold the targets, their starts and their sizes.

        Args:
            codebook: its index.
            hidden: activations ``[N, r + 1]``, the last of them 1.
            target: ``[N]``, 0 to 65535; where it is not, some code comes out.
        """
        rest, size = target, np.full(len(target), TOTAL)
        place, level = np.zeros_like(target), 0
        for levels, weight in self._stages:
            chances = self._chances(hidden, weight[codebook], place)
            cuts = self._cuts[level : level + levels]
            leaf, rest, size = _descend(chances, cuts, rest, size)
            place = (place << levels) + leaf
            level += levels
        return self._words[codebook].take(place), target - rest, size

    def _chances(self, hidden: Exact, weight: Exact, place: Integers) -> Integers:
        """Probabilities ``[N, 2**levels - 1]`` of going left at the nodes of the subtrees at ``place``."""
        if len(weight) == 1:
            logits = hidden @ weight[0]
        else:
            logits = (hidden[:, None] @ weight.take(place, axis=0))[:, 0]
        index = (np.floor(logits, out=logits) + _LOGIT_LIMIT).astype(np.int64)
        chances: Integers = self._left.take(index, mode="clip")
        return chances


def _subtrees(depth: int, levels: int) -> NDArray[np.int64]:
    """The nodes ``[2**depth, 2**levels - 1]`` of the subtrees at a depth, level by level."""
    roots = np.arange(1 << depth)[:, None]
    parts = [(1 << (depth + level)) - 1 + (roots << level) + np.arange(1 << level) for level in range(levels)]
    return np.concatenate(parts, axis=1)


def _descend(
    chances: Integers, cuts: list[_Cut], rest: Integers, size: Integers
) -> tuple[Integers, Integers, Integers]:
    """The leaves of subtrees that targets lead to, how far behind these begin the targets lie, their sizes.

    Args:
        chances: of going left at the nodes ``[N, 2**levels - 1]``.
        cuts: of the levels.
        rest: how far behind the starts of the subtrees' intervals the targets lie ``[N]``.
        size: of these intervals ``[N]``.
    """
    nodes = chances.shape[1]
    first = np.arange(0, chances.size, nodes)
    node, step, flat = first.copy(), 2 - first, chances.ravel()
    for words, half in cuts:
        left = size - words
        left *= flat.take(node)
        left >>= _PRECISION
        left += half
        beyond = rest - left
        # All bits of these are 1 or 0: to go one way or the other by them takes half as long as by `where`.
        goes_left = beyond >> _SIGN
        size = size - left
        size &= ~goes_left
        left &= goes_left
        size += left
        rest = beyond + left
        # Under the node i of a subtree, counted from 0, lie 2 i + 1 and 2 i + 2.
        node += node
        node += goes_left
        node += step
    return node - first - nodes, rest, size
