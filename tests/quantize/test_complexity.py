"""Counts of weighted operations against published and worked-out values."""

from __future__ import annotations

import math

import pytest

from codec.errors import CodecError
from codec.quantize.complexity import additive_wmops, plain_wmops, product_wmops, residual_wmops


@pytest.mark.parametrize(
    ("dim", "size", "num_codebooks", "beam", "additive", "residual", "product"),
    [
        (128, 32, 4, 8, 0.824170, 0.037978, 0.009658),
        (64, 16, 4, 16, 0.667882, 0.009770, 0.002522),
        (64, 1024, 4, 16, 23.146282, 0.593402, 0.150698),
        (128, 256, 8, 64, 266.578906, 0.692466, 0.088162),
    ],
)
def test_the_published_counts_are_reproduced(
    dim: int, size: int, num_codebooks: int, beam: int, additive: float, residual: float, product: float
) -> None:
    assert additive_wmops(dim, num_codebooks, size, beam, "paper") == pytest.approx(additive, abs=1e-9)
    assert residual_wmops(dim, num_codebooks, size, "paper") == pytest.approx(residual, abs=1e-9)
    assert product_wmops(dim, num_codebooks, size, "paper") == pytest.approx(product, abs=1e-9)


@pytest.mark.parametrize(
    ("dim", "size", "num_codebooks", "residual", "residual_mac", "product", "product_mac"),
    [
        (64, 16, 4, 0.012984, 0.004920, 0.003320, 0.001400),
        (64, 1024, 4, 0.791160, 0.275064, 0.200888, 0.078008),
        (128, 256, 8, 0.791280, 0.271088, 0.100720, 0.039280),
    ],
)
def test_exact_counts_have_all_stages(
    dim: int,
    size: int,
    num_codebooks: int,
    residual: float,
    residual_mac: float,
    product: float,
    product_mac: float,
) -> None:
    sizes = (dim, num_codebooks, size)
    assert residual_wmops(*sizes) == pytest.approx(residual, abs=1e-9)
    assert residual_wmops(*sizes, "mac") == pytest.approx(residual_mac, abs=1e-9)
    assert product_wmops(*sizes) == pytest.approx(product, abs=1e-9)
    assert product_wmops(*sizes, "mac") == pytest.approx(product_mac, abs=1e-9)


def test_plain_search_is_exponential_in_the_bits() -> None:
    assert plain_wmops(4, 1) == pytest.approx((2 * 11 + 2) / 1e6)
    assert plain_wmops(4, 1, "mac") == pytest.approx((2 * 5 + 2) / 1e6)
    assert plain_wmops(64, 20) / plain_wmops(64, 10) == pytest.approx(1024, rel=0.001)
    assert plain_wmops(64, 16) > 500 * product_wmops(64, 4, 16)


def test_tables_make_the_additive_search_several_times_cheaper() -> None:
    # Two codebooks of two words of three numbers, one set kept: 4 products, the best of 4, 2 sums, the
    # best of 2.
    with pytest.raises(CodecError, match="not 'exact'"):
        additive_wmops(3, 2, 2, 1, "exact")  # type: ignore[arg-type]
    assert additive_wmops(3, 2, 2, 1) == pytest.approx((4 * 4 + 6 + 2 * 2 + 2) / 1e6)
    assert 10 < additive_wmops(128, 8, 256, 16, "paper") / additive_wmops(128, 8, 256, 16) < 13


@pytest.mark.parametrize(
    ("dim", "size", "num_codebooks", "beam", "ours", "two_rounds"),
    [
        (64, 16, 4, 16, 0.057344, 0.0722),
        (64, 1024, 4, 16, 3.738560, 3.757),
        (128, 256, 8, 16, 4.226944, 4.264),
        (128, 256, 8, 64, 60.130816, 62.06),
    ],
)
def test_a_choice_in_two_rounds_would_cost_more(
    dim: int, size: int, num_codebooks: int, beam: int, ours: float, two_rounds: float
) -> None:
    assert additive_wmops(dim, num_codebooks, size, beam) == pytest.approx(ours, abs=1e-6)
    # The published search with tables: W of each set's children, then W of these, with 4 operations a child
    # to keep sets apart, the masks of the published count, and norms that are not halved beforehand.
    more = num_codebooks * size
    for step in range(1, num_codebooks):
        left = (num_codebooks - step) * size
        more += beam * best_of(left, beam) + best_of(beam**2, beam) - best_of(beam * left, beam)
        more += 4 * beam**2 + 4 * (math.comb(num_codebooks, step) - 1)
    assert ours + more / 1e6 == pytest.approx(two_rounds, rel=3e-3)


def best_of(numbers: int, kept: int) -> int:
    """Comparisons and moves of ``kept`` passes over what is left of some numbers."""
    return sum(2 * (numbers - done - 1) for done in range(kept))


def test_unequal_blocks_are_refused() -> None:
    with pytest.raises(CodecError, match="3 codebooks do not divide the 64"):
        product_wmops(64, 3, 16)
