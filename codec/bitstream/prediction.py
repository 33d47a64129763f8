"""How probable each code is, from the frame before and the codes of its own frame so far, in exact integers.

All sums are integers below 2**24, which float32 holds exactly: a matrix product of any order on any machine
gives the same ones, many times faster than integer arithmetic does.
"""

from __future__ import annotations

import math

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

# Integers in float32.
Exact = NDArray[np.float32]


class Predictor:
    """The networks of one set of tables, ready for matrix products."""

    def __init__(self, tables: EntropyTables) -> None:
        count, words = tables.leaves.shape
        past = len(tables.past_out_bias)
        self.num_codebooks, self.codebook_size, self.levels = count, words, tables.levels
        self._features = tables.features.astype(np.float32)
        self._feature_rows = self._features.reshape(count * words, -1)
        scales = np.ldexp(np.float32(1), -tables.shifts.astype(np.int64)).astype(np.float32)
        self._past_in = (tables.past_in_weight.T.astype(np.float32), _exact(tables.past_in_bias), scales[0])
        self._past_out = (
            tables.past_out_weight.T.astype(np.float32),
            _exact(tables.past_out_bias),
            scales[1],
        )
        hidden = tables.hidden_weight.astype(np.float32)
        self._hidden_past = np.ascontiguousarray(hidden[:, :, :past].reshape(-1, past).T)
        self._hidden_bias = _exact(tables.hidden_bias)
        self._hidden_now = np.ascontiguousarray(hidden[:, :, past:])
        self._hidden_scale, self._node_scale = scales[2 : 2 + count], scales[2 + count :]
        self._node_weight = tables.node_weight.astype(np.float32)
        self._node_bias = _exact(tables.node_bias)
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
        base = self._base(sums.reshape(channels * frames, -1), count)
        earlier = np.cumsum(words, axis=2) - words
        rows = earlier.transpose(2, 0, 1, 3).reshape(count, channels * frames, -1)
        hidden = self._hidden(base, rows)
        flat = np.maximum(known, 0).reshape(channels * frames, count).T
        starts, sizes = self._tree.intervals(self._path_probabilities(hidden, flat), flat)
        shape = (channels, frames, count)
        return starts.T.reshape(shape), sizes.T.reshape(shape)

    def begin_frame(self, before: Exact) -> Exact:
        """What the frame before, of which the features ``[d]`` are told, says about all codes: ``[M, r]``."""
        return self._base(before[None], self.num_codebooks)[:, 0]

    def logits(self, base: Exact, codebook: int, earlier: Exact) -> Exact:
        """The logits of going left at each node ``[N]``, not yet rounded, after codes with features ``[d]``.

        base: what `begin_frame` returned.
        """
        total = base[codebook] + self._hidden_now[codebook] @ _clip(earlier, -FEATURE_LIMIT, FEATURE_LIMIT)
        hidden = _clip(np.floor(total * self._hidden_scale[codebook]), 0, ACTIVATION_LIMIT)
        logits: Exact = self._node_weight[codebook] @ hidden
        logits += self._node_bias[codebook]
        logits *= self._node_scale[codebook]
        return logits

    def find_code(self, logits: Exact, codebook: int, target: int) -> tuple[int, int, int]:
        """The code whose interval holds a target in 0 .. 65535, its start and its size."""
        return self._tree.find(logits, codebook, target)

    def features(self, codebook: int, code: int) -> Exact:
        """What a code adds to the features of its frame, ``[d]``."""
        row: Exact = self._features[codebook, code]
        return row

    def _words(self, known: Codes) -> Exact:
        """The features ``[..., M', d]`` of codes ``[..., M']``, zero where not sent."""
        count = known.shape[-1]
        rows = np.maximum(known, 0) + np.arange(count) * self.codebook_size
        words: Exact = self._feature_rows.take(rows, axis=0)
        words[known < 0] = 0
        return words

    def _base(self, before: Exact, count: int) -> Exact:
        """The part of the hidden sums that all codes of a frame share: ``[M', N, r]`` of ``[N, d]``."""
        x = _clip(before, -FEATURE_LIMIT, FEATURE_LIMIT)
        for weight, bias, scale in (self._past_in, self._past_out):
            x = _clip(np.floor((x @ weight + bias) * scale), 0, ACTIVATION_LIMIT)
        width = self._hidden_bias.shape[1]
        sums = x @ self._hidden_past[:, : count * width]
        return sums.reshape(len(x), count, width).transpose(1, 0, 2) + self._hidden_bias[:count, None]

    def _hidden(self, base: Exact, earlier: Exact) -> Exact:
        """Hidden activations ``[M', N, r]`` with the features ``[M', N, d]`` of the codes so far."""
        count = len(base)
        clipped = _clip(earlier, -FEATURE_LIMIT, FEATURE_LIMIT)
        sums = base + clipped @ self._hidden_now[:count].transpose(0, 2, 1)
        sums *= self._hidden_scale[:count, None, None]
        return _clip(np.floor(sums, out=sums), 0, ACTIVATION_LIMIT)

    def _path_probabilities(self, hidden: Exact, codes: Codes) -> Integers:
        """The probabilities ``[M', N, b]`` of going left on the way to codes ``[M', N]``."""
        count, _, width = hidden.shape
        nodes = self._tree.path_nodes(codes) + np.arange(count)[:, None, None] * self._node_bias.shape[1]
        weight = self._node_weight.reshape(-1, width).take(nodes, axis=0)
        logits = (weight @ hidden[..., None])[..., 0] + self._node_bias.ravel().take(nodes)
        logits *= self._node_scale[:count, None, None]
        index = _clip(np.floor(logits, out=logits), -LOGIT_LIMIT, LOGIT_LIMIT - 1).astype(np.int64)
        return self._left.take(index + LOGIT_LIMIT)


class _Tree:
    """The balanced binary trees that the words of each codebook hang in.

    Under node i lie 2 i + 1 to the left and 2 i + 2 to the right. An interval of a size S is cut so that the
    2**k words below a node get at least 1 each: S' = 2**(k - 1) + floor((S - 2**k) * chance / 2**16) on the
    left.
    """

    def __init__(self, tables: EntropyTables) -> None:
        self._levels = tables.levels
        self._left: list[int] = tables.left.tolist()
        self._leaves = tables.leaves.astype(np.int64)
        self._words: list[list[int]] = np.argsort(self._leaves, axis=1).tolist()
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

    def find(self, logits: Exact, codebook: int, target: int) -> tuple[int, int, int]:
        """See `Predictor.find_code`; only the logits on the way are rounded."""
        node, start, size, words = 0, 0, TOTAL, 1 << self._levels
        while words > 1:
            logit = min(max(math.floor(logits.item(node)), -LOGIT_LIMIT), LOGIT_LIMIT - 1)
            left = words // 2 + ((size - words) * self._left[logit + LOGIT_LIMIT] >> PRECISION_BITS)
            if target - start < left:
                node, size = 2 * node + 1, left
            else:
                node, start, size = 2 * node + 2, start + left, size - left
            words //= 2
        return self._words[codebook][node - len(logits)], start, size

    def _places(self, codes: Codes) -> Integers:
        places: Integers = np.take_along_axis(self._leaves[: len(codes)], codes, axis=1)
        return places


def _exact(values: NDArray[np.integer]) -> Exact:
    return values.astype(np.float32)


def _clip(values: Exact, low: int, high: int) -> Exact:
    """Like `np.clip`, which takes longer than a small matrix product."""
    clipped: Exact = np.minimum(np.maximum(values, np.float32(low)), np.float32(high))
    return clipped
