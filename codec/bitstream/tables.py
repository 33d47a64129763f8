"""The entropy tables of a model: a small integer network that tells how probable each code is.

docs/bitstream-payload.md specifies the file and the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.rangecoder import TOTAL
from codec.errors import CodecError

TABLES_NAME = "entropy.safetensors"
MAX_TABLES_BYTES = 4_000_000

ACTIVATION_LIMIT = 255
FEATURE_LIMIT = 1023
LOGIT_LIMIT = 1024
LOGIT_UNIT = 128
"""Parts of a nat in which the nodes tell their logits."""

# Sums stay below what a float32 counts exactly, so that their terms may be added in any order.
MAX_SUM = (1 << 24) - 1
_MAX_SHIFT = 24
_MAX_CODEBOOKS = 255
_MAX_WORDS = 4096
_MAX_WIDTH = 1 << 12

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EntropyTables:
    """Integers only, as they are on disk; raises CodecError where they do not fit each other.

    M codebooks of K = 2**b words, each with a binary tree that has N = K - 1 nodes. Layers are weights
    ``[outputs, inputs]``, biases, and the bits that a sum is shifted down by.

    Attributes:
        leaves: uint16 ``[M, K]``, the place of each word among the leaves of its tree.
        features: int8 ``[M, K, d]``, what a word adds to the features of a frame.
        past_in_weight, past_in_bias: int16 ``[t, d]``, int32 ``[t]``, of the frame before.
        past_out_weight, past_out_bias: int16 ``[q, t]``, int32 ``[q]``, what all codebooks are told of it.
        hidden_weight, hidden_bias: int16 ``[M, r, q + d]``, int32 ``[M, r]``, with the codes of this frame
            so far.
        node_weight, node_bias: int8 ``[M, N, r]``, int32 ``[M, N]``, logits of going left in the trees.
        shifts: uint8 ``[2 + 2 M]``, of past_in, past_out, each hidden layer, each codebook's nodes.
        left: uint16 ``[2048]``, the probability of going left for each logit from -1024 on, in 1/65536.
        counts: uint16 ``[M + 2, M + 1]``, starts of the intervals of a frame's number of codebooks after each
            number before it, and at the start of a payload.
    """

    leaves: NDArray[np.uint16]
    features: NDArray[np.int8]
    past_in_weight: NDArray[np.int16]
    past_in_bias: NDArray[np.int32]
    past_out_weight: NDArray[np.int16]
    past_out_bias: NDArray[np.int32]
    hidden_weight: NDArray[np.int16]
    hidden_bias: NDArray[np.int32]
    node_weight: NDArray[np.int8]
    node_bias: NDArray[np.int32]
    shifts: NDArray[np.uint8]
    left: NDArray[np.uint16]
    counts: NDArray[np.uint16]

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()
        for _, value in self.arrays():
            value.setflags(write=False)

    @property
    def num_codebooks(self) -> int:
        """M."""
        return int(self.leaves.shape[0])

    @property
    def codebook_size(self) -> int:
        """K."""
        return int(self.leaves.shape[1])

    @property
    def levels(self) -> int:
        """b, the decisions from the root of a tree to a word."""
        return self.codebook_size.bit_length() - 1

    def to_bytes(self) -> bytes:
        """Returns the tables as a safetensors file, the same bytes for the same tables."""
        # Imported here, as in `read_tables`: a training has to run without safetensors.
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(value) for name, value in self.arrays()})

    def arrays(self) -> list[tuple[str, NDArray[np.integer]]]:
        """All arrays with their names, sorted by these."""
        return sorted((field.name, getattr(self, field.name)) for field in fields(self))

    def _check_shapes(self) -> None:
        if self.leaves.ndim != 2 or self.features.ndim != 3 or self.hidden_weight.ndim != 3:
            raise CodecError("the entropy tables have too few or too many dimensions")
        (count, words), d = self.leaves.shape, self.features.shape[2]
        t, q, r = len(self.past_in_bias), len(self.past_out_bias), self.hidden_weight.shape[1]
        sizes_fit = 1 <= count <= _MAX_CODEBOOKS and 2 <= words <= _MAX_WORDS and min(d, t, q, r) >= 1
        if not sizes_fit or words & (words - 1):
            raise CodecError("the entropy tables are of an impossible size")
        expected: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "leaves": (np.uint16, (count, words)),
            "features": (np.int8, (count, words, d)),
            "past_in_weight": (np.int16, (t, d)),
            "past_in_bias": (np.int32, (t,)),
            "past_out_weight": (np.int16, (q, t)),
            "past_out_bias": (np.int32, (q,)),
            "hidden_weight": (np.int16, (count, r, q + d)),
            "hidden_bias": (np.int32, (count, r)),
            "node_weight": (np.int8, (count, words - 1, r)),
            "node_bias": (np.int32, (count, words - 1)),
            "shifts": (np.uint8, (2 + 2 * count,)),
            "left": (np.uint16, (2 * LOGIT_LIMIT,)),
            "counts": (np.uint16, (count + 2, count + 1)),
        }
        for name, (dtype, shape) in expected.items():
            value = getattr(self, name)
            if value.dtype != dtype or value.shape != shape or max(value.shape[1:], default=0) > _MAX_WIDTH:
                raise CodecError(f"the entropy tables do not fit each other (first at {name})")

    def _check_values(self) -> None:
        if (np.sort(self.leaves, axis=1) != np.arange(self.codebook_size)).any():
            raise CodecError("the entropy tables do not give each word a leaf")
        if (self.left == 0).any() or (self.shifts > _MAX_SHIFT).any():
            raise CodecError("the entropy tables hold an impossible probability or shift")
        if self.counts[:, 0].any() or (np.diff(self.counts.astype(np.int64), axis=1) <= 0).any():
            raise CodecError("the entropy tables give a number of codebooks no interval")
        partial = np.full(self.hidden_weight.shape[2], ACTIVATION_LIMIT)
        partial[len(self.past_out_bias) :] = FEATURE_LIMIT
        for name, limits in (
            ("past_in", FEATURE_LIMIT),
            ("past_out", ACTIVATION_LIMIT),
            ("hidden", partial),
            ("node", ACTIVATION_LIMIT),
        ):
            weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
            if (largest_sum(weight, bias, limits) > MAX_SUM).any():
                raise CodecError(f"the entropy tables hold too large numbers (first in {name})")


def largest_sum(weight: NDArray[np.integer], bias: NDArray[np.integer], limits: int | Integers) -> Integers:
    """The largest that a sum of each output ``[..., outputs]`` can become, up to a sign."""
    sums: Integers = (np.abs(weight.astype(np.int64)) * limits).sum(axis=-1) + np.abs(bias.astype(np.int64))
    return sums


def starts_of(sizes: Integers) -> NDArray[np.uint16]:
    """Starts of intervals ``[..., n]`` of sizes that sum to 2**16."""
    assert (sizes.sum(axis=-1) == TOTAL).all()
    assert sizes.min() >= 1
    return (np.cumsum(sizes, axis=-1) - sizes).astype(np.uint16)


def sizes_of(starts: NDArray[np.integer]) -> Integers:
    """Sizes of intervals ``[..., n]`` that fill 2**16."""
    known = starts.astype(np.int64)
    ends = np.concatenate([known[..., 1:], np.full_like(known[..., :1], TOTAL)], axis=-1)
    return ends - known


def read_tables(path: Path) -> EntropyTables:
    """Reads the tables of a model.

    Raises:
        CodecError: the file is no tables, damaged, or larger than `MAX_TABLES_BYTES`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    remedy = "get a fresh copy of the checkpoint"
    try:
        if path.stat().st_size > MAX_TABLES_BYTES:
            raise CodecError(f"{path} is larger than entropy tables can be: {remedy}")
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CodecError(f"{path} cannot be read ({error}): {remedy}") from error
    if set(tensors) != {field.name for field in fields(EntropyTables)}:
        raise CodecError(f"{path} holds no entropy tables: {remedy}")
    try:
        return EntropyTables(**tensors)
    except CodecError as error:
        raise CodecError(f"{path}: {error}: {remedy}") from error
