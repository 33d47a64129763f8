"""How probable each code is, from the frame before and the codes of its own frame so far, in exact integers.

All sums are integers below 2**24, which float32 holds exactly: a matrix product of any order on any machine
gives the same ones, many times faster than integer arithmetic does. To shift a sum is to scale the weights by
a power of two beforehand, which is exact too, and to round the sum down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.codes import Codes
from codec.bitstream.rangecoder import PRECISION_BITS, TOTAL
from codec.bitstream.tables import (
    ACTIVATION_LIMIT,
    FEATURE_LIMIT,
    LOGIT_LIMIT,
    EntropyTables,
    Integers,
)

# Bounds the memory that a long payload takes; ten times as many take as long for each.
_CODES_AT_ONCE = 4096

# Integers in float32, or such divided by a power of two.
Exact = NDArray[np.float32]


def _limits(low: int, high: int) -> tuple[Exact, Exact]:
    """As arrays ``[]``: arithmetic with them takes half as long as with numbers."""
    return np.array(low, np.float32), np.array(high, np.float32)


_FEATURES = _limits(-FEATURE_LIMIT, FEATURE_LIMIT)
_ACTIVATIONS = _limits(0, ACTIVATION_LIMIT)
_LOGITS = _limits(-LOGIT_LIMIT, LOGIT_LIMIT - 1)


class Predictor:
    """The networks of one set of tables, ready for matrix products."""

    def __init__(self, tables: EntropyTables) -> None:
        count, words = tables.leaves.shape
        past = len(tables.past_out_bias)
        self.num_codebooks, self.codebook_size, self.levels = count, words, tables.levels
        self._feature_rows = tables.features.astype(np.float32).reshape(count * words, -1)
        scales = np.ldexp(np.float32(1), -tables.shifts.astype(np.int64))
        self._past_in = (tables.past_in_weight.T * scales[0], _exact(tables.past_in_bias) * scales[0])
        self._past_out = (tables.past_out_weight.T * scales[1], _exact(tables.past_out_bias) * scales[1])
        hidden_scales, node_scales = scales[2 : 2 + count, None], scales[2 + count :, None]
        hidden = tables.hidden_weight * hidden_scales[..., None]
        self._hidden_past = np.ascontiguousarray(hidden[:, :, :past].reshape(-1, past).T)
        self._hidden_bias = _exact(tables.hidden_bias) * hidden_scales
        self._hidden_now = np.ascontiguousarray(hidden[:, :, past:].transpose(0, 2, 1))
        self._node_weight = tables.node_weight * node_scales[..., None]
        self._node_bias = _exact(tables.node_bias) * node_scales
        self._left = tables.left.astype(np.int64)
        self._tree = _Tree(tables)

    def code_intervals(self, codes: Codes, previous: Codes | None) -> tuple[Integers, Integers]:
        """Starts and sizes of the intervals of all codes.

        Args:
            codes: ``[C, M', F]``, the frames of a payload; what is not sent gets some interval as well.
            previous: the frame before ``[C, M]``, or None at the start of a payload.

        Returns:
            both ``[C, F, M']``, in 1/65536.
        """
        channels, count, frames = codes.shape
        if not codes.size:
            nothing = np.zeros((channels, frames, count), np.int64)
            return nothing, nothing
        step = max(1, _CODES_AT_ONCE // (channels * count))
        parts = []
        for at in range(0, frames, step):
            parts.append(self._intervals(codes[:, :, at : at + step], previous))
            previous = codes[:, :, min(at + step, frames) - 1]
        starts, sizes = zip(*parts, strict=True)
        return np.concatenate(starts, axis=1), np.concatenate(sizes, axis=1)

    def _intervals(self, codes: Codes, previous: Codes | None) -> tuple[Integers, Integers]:
        channels, count, frames = codes.shape
        known = codes.transpose(0, 2, 1)
        words = self._words(known)
        before = np.zeros((channels, 1, words.shape[3]), np.float32)
        if previous is not None:
            before = self._words(previous[:, None]).sum(axis=2)
        sums = np.concatenate([before, words.sum(axis=2)[:, :-1]], axis=1)
        base = self.begin_frames(sums.reshape(channels * frames, -1), count)
        earlier = np.cumsum(words, axis=2) - words
        rows = earlier.transpose(2, 0, 1, 3).reshape(count, channels * frames, -1)
        hidden = self._hidden(base, rows)
        flat = np.maximum(known, 0).reshape(channels * frames, count).T
        starts, sizes = self._tree.intervals(self._path_probabilities(hidden, flat), flat)
        shape = (channels, frames, count)
        return starts.T.reshape(shape), sizes.T.reshape(shape)

    def begin_frames(self, before: Exact, count: int) -> Exact:
        """What all codes of a frame share of their hidden sums, ``[M', N, r]``: what the frames before, of
        which the features ``[N, d]`` are told, say about the codes of M' codebooks."""
        x = clip(before, *_FEATURES)
        for weight, bias in (self._past_in, self._past_out):
            x = clip(np.floor(x @ weight + bias), *_ACTIVATIONS)
        width = self._hidden_bias.shape[1]
        sums = x @ self._hidden_past[:, : count * width]
        return sums.reshape(len(x), count, width).transpose(1, 0, 2) + self._hidden_bias[:count, None]

    def hidden(self, base: Exact, codebook: int, earlier: Exact) -> Exact:
        """Hidden activations ``[N, r + 1]`` after codes with features ``[N, d]``, the last of them 1.

        base: of the codebook, ``[N, r]``.
        """
        # The function takes two thirds of the operator's time where there is little to multiply.
        sums = np.dot(clip(earlier, *_FEATURES), self._hidden_now[codebook])
        sums += base
        hidden = np.ones((len(sums), sums.shape[1] + 1), np.float32)
        hidden[:, :-1] = clip(np.floor(sums, sums), *_ACTIVATIONS)
        return hidden

    def features(self, codebook: int, codes: int | Integers) -> Exact:
        """What codes ``[N]`` of a codebook add to the features of their frames, ``[N, d]``; one code,
        ``[d]``."""
        rows: Exact = self._feature_rows.take(codebook * self.codebook_size + codes, axis=0)
        return rows

    def _words(self, known: Codes) -> Exact:
        """The features ``[..., M', d]`` of codes ``[..., M']``, zero where not sent."""
        count = known.shape[-1]
        rows = np.maximum(known, 0) + np.arange(count) * self.codebook_size
        words: Exact = self._feature_rows.take(rows, axis=0)
        words[known < 0] = 0
        return words

    def _hidden(self, base: Exact, earlier: Exact) -> Exact:
        """Hidden activations ``[M', N, r]`` with the features ``[M', N, d]`` of the codes so far."""
        count = len(base)
        clipped = clip(earlier, *_FEATURES)
        sums = base + clipped @ self._hidden_now[:count]
        return clip(np.floor(sums, out=sums), *_ACTIVATIONS)

    def _path_probabilities(self, hidden: Exact, codes: Codes) -> Integers:
        """The probabilities ``[M', N, b]`` of going left on the way to codes ``[M', N]``."""
        count, _, width = hidden.shape
        nodes = self._tree.path_nodes(codes) + np.arange(count)[:, None, None] * self._node_bias.shape[1]
        weight = self._node_weight.reshape(-1, width).take(nodes, axis=0)
        logits = (weight @ hidden[..., None])[..., 0] + self._node_bias.ravel().take(nodes)
        index = clip(np.floor(logits, out=logits), *_LOGITS).astype(np.int64)
        return self._left.take(index + LOGIT_LIMIT)


class _Tree:
    """The balanced binary trees that the words of each codebook hang in.

    Under node i lie 2 i + 1 to the left and 2 i + 2 to the right. An interval of a size S is cut so that the
    2**k words below a node get at least 1 each: S' = 2**(k - 1) + floor((S - 2**k) * chance / 2**16) on the
    left.
    """

    def __init__(self, tables: EntropyTables) -> None:
        self._levels = tables.levels
        self._leaves = tables.leaves.astype(np.int64)
        level = np.arange(tables.levels)
        places = np.arange(tables.codebook_size)[:, None]
        self._nodes = (1 << level) - 1 + (places >> (tables.levels - level))
        self._goes_right = ((places >> (tables.levels - 1 - level)) & 1).astype(bool)

    def path_nodes(self, codes: Codes) -> Integers:
        """The nodes ``[M', N, b]`` from the root to codes ``[M', N]``."""
        nodes: Integers = self._nodes.take(self._places(codes), axis=0)
        return nodes

    def intervals(self, chances: Integers, codes: Codes) -> tuple[Integers, Integers]:
        """Starts and sizes ``[M', N]`` of codes with the probabilities ``[M', N, b]`` of going left."""
        goes_right = self._goes_right.take(self._places(codes), axis=0)
        start = np.zeros(codes.shape, np.int64)
        size = np.full(codes.shape, TOTAL, np.int64)
        for level in range(self._levels):
            words = 1 << (self._levels - level)
            left = words // 2 + ((size - words) * chances[..., level] >> PRECISION_BITS)
            right = goes_right[..., level]
            start += np.where(right, left, 0)
            size = np.where(right, size - left, left)
        return start, size

    def _places(self, codes: Codes) -> Integers:
        places: Integers = np.take_along_axis(self._leaves[: len(codes)], codes, axis=1)
        return places


def _exact(values: NDArray[np.integer]) -> Exact:
    return values.astype(np.float32)


def clip(values: Exact, low: Exact, high: Exact) -> Exact:
    """Like `np.clip`, for limits ``[]``, in a third of the time where values are few."""
    clipped: Exact = np.minimum(np.maximum(values, low), high)
    return clipped
