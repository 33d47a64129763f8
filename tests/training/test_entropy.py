"""Fitted entropy tables: smaller payloads for codes like those they were fitted to, for every bottleneck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream import Codes, EntropyCoder, PayloadCoder
from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.errors import UsageError
from codec.training.entropy import fit_tables
from tests.small_model import SMALL, small_model

KINDS = {
    "residual": BottleneckConfig(num_codebooks=4, codebook_size=16),
    "additive": AdditiveConfig(num_codebooks=4, codebook_size=16),
    "product": ProductConfig(num_codebooks=4, codebook_size=16, rotation=True),
}


def slow_walk(codebooks: int, words: int, frames: int, seed: int) -> Codes:
    """Codes [M, F] that stay near those before them: the first walks, the others follow the one before."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((codebooks, frames), np.int64)
    codes[0] = np.cumsum(rng.integers(-1, 2, frames)) % words
    for m in range(1, codebooks):
        codes[m] = (codes[m - 1] * 3 + rng.integers(0, 3, frames)) % words
    return codes


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_tables_learn_what_follows_what(kind: str) -> None:
    bottleneck = small_model(config=replace(SMALL, bottleneck=KINDS[kind])).bottleneck
    count, words = bottleneck.num_codebooks, bottleneck.codebook_size
    tables = fit_tables(bottleneck, [slow_walk(count, words, 600, seed) for seed in range(4)])
    coder = PayloadCoder(count, bottleneck.bits_per_code, 400, 1, EntropyCoder(tables))
    for n in range(1, count + 1):
        codes = slow_walk(count, words, 400, 9)[None, :n]
        payload = coder.pack(codes)
        assert (coder.unpack(payload)[:, :n] == codes).all()
        assert len(payload) < 0.75 * coder.raw_index_bits(codes) / 8


def test_the_same_codes_give_the_same_tables() -> None:
    bottleneck = small_model().bottleneck
    codes = [slow_walk(4, 16, 50, 0), np.full((4, 0), -1), np.full((4, 1), 3)]
    first, second = (fit_tables(bottleneck, codes, epochs=0).to_bytes() for _ in range(2))
    assert first == second


def test_codes_of_another_model_are_refused() -> None:
    bottleneck = small_model().bottleneck
    for codes in (slow_walk(3, 16, 9, 0), slow_walk(4, 17, 300, 0), np.zeros(4, np.int64)):
        with pytest.raises(UsageError, match="codes must be"):
            fit_tables(bottleneck, [codes])
    with pytest.raises(UsageError, match="at least two frames"):
        fit_tables(bottleneck, [np.zeros((4, 1), np.int64)])
