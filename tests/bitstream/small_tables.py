"""Entropy tables of random integers, which need no model and no fitting."""

from __future__ import annotations

import numpy as np

from codec.bitstream.tables import EntropyTables, starts_of

SHARES = {"past_in": 3, "past_out": 5, "hidden": 6}


def random_tables(codebooks: int = 3, words: int = 16, seed: int = 0, **changes: np.ndarray) -> EntropyTables:
    """Tables whose probabilities depend much on the codes before."""
    rng = np.random.default_rng(seed)
    d, (t, q, r) = 4, SHARES.values()
    first = 1 + rng.multinomial(65536 - codebooks - 1, np.full(codebooks + 1, 1 / (codebooks + 1)))
    arrays = {
        "leaves": np.stack([rng.permutation(words) for _ in range(codebooks)]).astype(np.uint16),
        "features": rng.integers(-128, 128, (codebooks, words, d)).astype(np.int8),
        "past_in_weight": rng.integers(-90, 91, (t, d)).astype(np.int16),
        "past_in_bias": rng.integers(-900, 900, t).astype(np.int32),
        "past_out_weight": rng.integers(-90, 91, (q, t)).astype(np.int16),
        "past_out_bias": rng.integers(-900, 900, q).astype(np.int32),
        "hidden_weight": rng.integers(-90, 91, (codebooks, r, q + d)).astype(np.int16),
        "hidden_bias": rng.integers(-900, 900, (codebooks, r)).astype(np.int32),
        "node_weight": rng.integers(-128, 128, (codebooks, words - 1, r)).astype(np.int8),
        "node_bias": rng.integers(-9000, 9000, (codebooks, words - 1)).astype(np.int32),
        "shifts": np.array([8, 8, *[8] * codebooks, *[7] * codebooks], np.uint8),
        "left": np.sort(rng.integers(1, 65536, 2048)).astype(np.uint16),
        "counts": starts_of(np.stack([rng.permutation(first) for _ in range(codebooks + 2)])),
    }
    return EntropyTables(**(arrays | changes))
