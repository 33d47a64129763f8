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
# OpenBLAS shares larger products among threads. At these sizes that gains nothing, and where the processors
# have other work to do, the threads wait for each other: coding then takes four times as long.
_MOST_MULTIPLICATIONS = 1 << 18

# Integers in float32, or such divided by a power of two.
Exact = NDArray[np.float32]


def _limits(low: int, high: int) -> tuple[Exact, Exact]:
    """As arrays ``[]``: where values are few, to clip by them takes two thirds of the time that numbers take,
    and the method takes half the time of `np.clip`."""
    return np.array(low, np.float32), np.array(high, np.float32)


_FEATURES = _limits(-FEATURE_LIMIT, FEATURE_LIMIT)
_ACTIVATIONS = _limits(0, ACTIVATION_LIMIT)
_LOGIT_LIMIT = np.float32(LOGIT_LIMIT)
_PRECISION = np.array(PRECISION_BITS, np.uint32)


class Predictor:
    """The networks of one set of tables, ready for matrix products."""

    def __init__(self, tables: EntropyTables) -> None:
        count, words = tables.leaves.shape
        past = len(tables.past_out_bias)
        width, now = tables.hidden_weight.shape[1], tables.features.shape[2]
        layers = (now * len(tables.past_in_bias), tables.past_out_weight.size, past * width)
        self._rows_at_once = max(1, _MOST_MULTIPLICATIONS // max(layers))
        self._frames_at_once = max(1, _MOST_MULTIPLICATIONS // (now * width))
        self.num_codebooks, self.codebook_size = count, words
        self._feature_rows = tables.features.astype(np.float32).reshape(count * words, -1)
        largest = np.abs(self._feature_rows).reshape(count, words, -1).max(axis=1).sum(axis=0)
        self._clips_features = bool((largest > FEATURE_LIMIT).any())
        # Where the rows of each codebook begin.
        self._offsets = np.arange(count)[:, None] * words
        scales = np.ldexp(np.float32(1), -tables.shifts.astype(np.int64))
        self._past_in = (tables.past_in_weight.T * scales[0], _exact(tables.past_in_bias) * scales[0])
        self._past_out = (tables.past_out_weight.T * scales[1], _exact(tables.past_out_bias) * scales[1])
        hidden_scales = scales[2 : 2 + count, None]
        hidden = (tables.hidden_weight * hidden_scales[..., None]).transpose(0, 2, 1)
        # With a dimension for the parts that frames come in.
        self._hidden_past = np.ascontiguousarray(hidden[:, None, :past])
        self._hidden_bias = (_exact(tables.hidden_bias) * hidden_scales)[:, None, None]
        self._hidden_now = np.ascontiguousarray(hidden[:, past:])
        self._paths = _Paths(tables, scales[2 + count :])

    def code_intervals(self, codes: Codes, previous: Codes | None) -> tuple[Integers, Integers]:
        """Starts and sizes of the intervals of all codes.

        Args:
            codes: ``[C, M', F]``, the frames of a payload; what is not sent gets the whole interval.
            previous: the frame before ``[C, M]``, or None at the start of a payload.

        Returns:
            both ``[F, C, M']``, in the order of a payload, in 1/65536.
        """
        channels, count, frames = codes.shape
        starts = np.zeros((frames, channels, count), np.int64)
        sizes = np.full_like(starts, TOTAL)
        step = max(1, min(_CODES_AT_ONCE // max(1, count), self._frames_at_once) // max(1, channels))
        for at in range(0, frames if codes.size else 0, step):
            part = slice(at, at + step)
            starts[part], sizes[part] = self._intervals(codes[:, :, part], previous)
            previous = codes[:, :, min(at + step, frames) - 1]
        return starts, sizes

    def _intervals(self, codes: Codes, previous: Codes | None) -> tuple[Integers, Integers]:
        channels, count, frames = codes.shape
        # The channels of a frame one after the other, N = F C.
        known = np.ascontiguousarray(codes.transpose(1, 2, 0)).reshape(count, -1)
        earlier = self._sums(known)
        before = np.zeros_like(earlier[-1])
        before[channels:] = earlier[-1, :-channels]
        if previous is not None:
            before[:channels] = self._sums(np.ascontiguousarray(previous.T))[-1]
        hidden = self._hidden(self.begin_frames(before, count), earlier[:-1])
        hidden, rows = hidden.reshape(known.size, -1), (known + self._offsets[:count]).ravel()
        if known.min() >= 0:
            starts, sizes = self._paths.intervals(hidden, rows)
        else:
            some = np.flatnonzero(known >= 0)
            starts, sizes = np.zeros(known.size, np.int64), np.full(known.size, TOTAL)
            starts[some], sizes[some] = self._paths.intervals(hidden[some], rows[some])
        shape = (count, frames, channels)
        return starts.reshape(shape).transpose(1, 2, 0), sizes.reshape(shape).transpose(1, 2, 0)

    def begin_frames(self, before: Exact, count: int) -> Exact:
        """What all codes of a frame share of their hidden sums, ``[M', N, r]``: what the frames before, of
        which the features ``[N, d]`` are told, say about the codes of M' codebooks."""
        parts = -(-len(before) // self._rows_at_once)
        rows = -(-len(before) // max(parts, 1))
        x = np.zeros((parts, rows, before.shape[1]), np.float32)
        x.reshape(-1, before.shape[1])[: len(before)] = self._limited(before)
        for weight, bias in (self._past_in, self._past_out):
            x = np.matmul(x, weight)
            x += bias
            np.floor(x, out=x).clip(*_ACTIVATIONS, out=x)
        sums: Exact = np.matmul(x, self._hidden_past[:count])
        sums += self._hidden_bias[:count]
        return sums.reshape(count, parts * rows, sums.shape[-1])[:, : len(before)]

    def hidden(self, base: Exact, codebook: int, earlier: Exact) -> Exact:
        """Hidden activations ``[N, r + 1]`` after codes with features ``[N, d]``, the last of them 1.

        base: of the codebook, ``[N, r]``.
        """
        # The function takes two thirds of the operator's time where there is little to multiply.
        sums = np.dot(self._limited(earlier), self._hidden_now[codebook])
        sums += base
        hidden = np.ones((len(sums), sums.shape[1] + 1), np.float32)
        np.floor(sums, sums).clip(*_ACTIVATIONS, out=hidden[:, :-1])
        return hidden

    def hidden_of_one(self, base: Exact, codebook: int, earlier: Exact, out: Exact) -> None:
        """`hidden` of one frame, ``[r]`` and ``[d]`` to ``[r + 1]``, of which the last is there."""
        sums = self._limited(earlier).dot(self._hidden_now[codebook])
        sums += base
        np.floor(sums, sums).clip(*_ACTIVATIONS, out=out[:-1])

    def features(self, codebook: int, codes: Integers) -> Exact:
        """What codes ``[N]`` of a codebook add to the features of their frames, ``[N, d]``."""
        rows: Exact = self._feature_rows.take(codebook * self.codebook_size + codes, axis=0)
        return rows

    def features_of_one(self, codebook: int, code: int) -> Exact:
        """`features` of one code, ``[d]``: a view, which takes a quarter of the time of a copy."""
        row: Exact = self._feature_rows[codebook * self.codebook_size + code]
        return row

    def _limited(self, features: Exact) -> Exact:
        """Features within their limit, which those of most tables never come near."""
        return features.clip(*_FEATURES) if self._clips_features else features

    def _sums(self, known: Codes) -> Exact:
        """The features ``[M' + 1, N, d]`` of the first 0 to M' codes of frames with the codes ``[M', N]``."""
        words = self._feature_rows.take(known + self._offsets[: len(known)], axis=0, mode="clip")
        if known.min() < 0:
            words[known < 0] = 0
        sums = np.zeros((len(words) + 1, *words.shape[1:]), np.float32)
        for before, word, after in zip(sums[:-1], words, sums[1:], strict=True):
            np.add(before, word, out=after)
        return sums

    def _hidden(self, base: Exact, earlier: Exact) -> Exact:
        """Hidden activations ``[M', N, r]`` with the features ``[M', N, d]`` of the codes so far."""
        sums: Exact = np.matmul(self._limited(earlier), self._hidden_now[: len(base)])
        sums += base
        return np.floor(sums, out=sums).clip(*_ACTIVATIONS, out=sums)


class _Paths:
    """The ways to words through the balanced binary trees that the words of each codebook hang in.

    An interval of a size S is cut so that the 2**k words below a node get at least 1 each: the part on the
    left takes 2**(k - 1) + floor((S - 2**k) * chance / 2**16). What a part has beyond its words, its spare
    size, therefore follows from that of the whole: s' = floor(s * chance / 2**16) on the left and s - s' on
    the right, which is ceil(s * (2**16 - chance) / 2**16).
    """

    def __init__(self, tables: EntropyTables, scales: Exact) -> None:
        count, words = tables.leaves.shape
        self._words = words
        # Counted from 1 on, level by level, the nodes of a tree are K + its leaf, shifted down.
        self._leaves = (tables.leaves.astype(np.int64) + words).ravel()
        self._shifts = np.arange(tables.levels, -1, -1)[:, None]
        weight = np.zeros((count, words, tables.node_weight.shape[2]), np.float32)
        weight[:, 1:] = tables.node_weight * scales[:, None, None]
        bias = np.zeros((count, words), np.float32)
        bias[:, 1:] = tables.node_bias * scales[:, None]
        self._weight, self._bias = weight.reshape(bias.size, -1), bias.ravel()
        self._left = tables.left

    def intervals(self, hidden: Exact, rows: Integers) -> tuple[Integers, Integers]:
        """Starts and sizes ``[N]`` of the words m K + c ``[N]`` with hidden activations ``[N, r]``."""
        leaves = self._leaves.take(rows)
        nodes = leaves >> self._shifts
        right = (nodes[1:] & 1).astype(np.uint16)
        chances = self._chances_of_left(hidden, nodes[:-1] + (rows & -self._words))
        # 2**16 - chance on the way to the right, where a spare size is rounded up; in 16 bits -chance is it.
        mask = -right
        chances = (chances ^ mask) + right
        spare = self._spare_sizes(chances.astype(np.uint32), mask.astype(np.uint32))
        passed = ((spare[:-1] - spare[1:]) * right).sum(axis=0, dtype=np.int64)
        return passed + leaves - self._words, spare[-1] + np.int64(1)

    def _chances_of_left(self, hidden: Exact, nodes: Integers) -> NDArray[np.uint16]:
        """The probabilities of going left at the nodes ``[b, N]``."""
        logits = np.empty(nodes.shape, np.float32)
        weight = self._weight.take(nodes, axis=0).transpose(1, 0, 2)
        np.matmul(weight, hidden[..., None], out=logits.T[..., None])
        logits += self._bias.take(nodes)
        np.floor(logits, out=logits)
        logits += _LOGIT_LIMIT
        return self._left.take(logits.astype(np.int64), mode="clip")

    def _spare_sizes(self, chances: NDArray[np.uint32], round_up: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """What the intervals from the root down to a word have beyond the words in them, ``[b + 1, N]``.

        Args:
            chances: ``[b, N]`` of going where the way leads.
            round_up: 2**16 - 1 to round up there, 0 to round down.
        """
        spare = np.empty((len(chances) + 1, chances.shape[1]), np.uint32)
        spare[0] = TOTAL - self._words
        for whole, part, chance, rounding in zip(spare[:-1], spare[1:], chances, round_up, strict=True):
            # Below 2**32: (2**16 - 1) (2**16 - 1) + 2**16 - 1.
            np.multiply(whole, chance, out=part)
            part += rounding
            part >>= _PRECISION
        return spare


def _exact(values: NDArray[np.integer]) -> Exact:
    return values.astype(np.float32)
