"""Row counts, and an activation whose bits depend on the element alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from codec.nn.rows import elu, fit_rows, whole_rows
from tests.nn.streams import noise


@pytest.fixture
def three_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def test_rows_are_rounded_up_to_eights() -> None:
    assert [whole_rows(valid) for valid in (1, 7, 8, 9, 64)] == [8, 8, 8, 16, 64]


def test_rows_are_cut_or_filled_with_zeros() -> None:
    x = noise(2, 5, 3)
    assert torch.equal(fit_rows(x, 3), x[:, :3])
    assert torch.equal(fit_rows(x, 8), torch.cat([x, torch.zeros(2, 3, 3)], dim=1))


def test_elu_has_the_values_of_torch() -> None:
    x = noise(3, 40, 32)
    torch.testing.assert_close(elu(x), F.elu(x))
    assert torch.equal(elu(x[:, 3:11]), elu(x)[:, 3:11])


@pytest.mark.usefixtures("three_threads")
def test_elu_gives_the_same_bits_at_any_size_with_several_threads() -> None:
    # Sizes that torch itself shares out among three threads so that each share ends with a rest.
    x = noise(1, 5120, 32)
    whole = elu(x)
    for rows in (8, 40, 2560, 3000):
        assert torch.equal(elu(x[:, -rows:]), whole[:, -rows:]), rows
