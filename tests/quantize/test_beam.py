"""The beam search: the sums that a plain search over all children keeps, vector by vector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.quantize.beam import beam_search
from codec.quantize.distances import Distances


def plain_search(words: np.ndarray, x: np.ndarray, limit: int, beam: int) -> list[int]:
    """The best of the sums that are left after so many codebooks, all children looked at."""
    kept: list[tuple[float, list[int]]] = [(0.0, [])]
    for index in range(limit):
        children = []
        for _, codes in kept:
            left = x - sum(words[m][code] for m, code in enumerate(codes))
            errors = np.square(left - words[index]).sum(axis=1)
            children += [(error, [*codes, code]) for code, error in enumerate(errors.tolist())]
        kept = sorted(children)[:beam]
    return kept[0][1]


# Whole groups of words, a single one, and fewer words than the beam is wide.
@pytest.mark.parametrize(("size", "beam"), [(128, 4), (192, 1), (10, 3), (3, 8)])
def test_codes_are_those_of_a_plain_search(rng: np.random.Generator, size: int, beam: int) -> None:
    words = rng.normal(size=(4, size, 6)) * 0.6 ** np.arange(4)[:, None, None]
    x, limits = rng.normal(size=(13, 6)), rng.integers(0, 5, size=13)
    distances = Distances(torch.from_numpy(words).float())
    codes = beam_search(distances, torch.from_numpy(x).float(), torch.from_numpy(limits), beam)
    for row, vector, limit in zip(codes.tolist(), x, limits.tolist(), strict=True):
        assert row == plain_search(words, vector, limit, beam) + [-1] * (4 - limit)


def test_a_vector_gets_the_same_codes_in_any_company(rng: np.random.Generator) -> None:
    distances = Distances(torch.from_numpy(rng.normal(size=(5, 256, 128))).float())
    x = torch.from_numpy(rng.normal(size=(50, 128))).float()
    limits = torch.from_numpy(rng.integers(0, 6, size=50))
    with torch.inference_mode():
        whole = beam_search(distances, x, limits, 4)
        for rows in (1, 7, 16):
            parts = zip(torch.split(x, rows), torch.split(limits, rows), strict=True)
            assert torch.equal(torch.cat([beam_search(distances, *part, 4) for part in parts]), whole)


def test_no_vectors_have_no_codes() -> None:
    distances = Distances(torch.zeros(3, 4, 2))
    assert beam_search(distances, torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), 4).shape == (0, 3)
