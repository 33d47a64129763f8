"""From a target bitrate to codebooks."""

from __future__ import annotations

import pytest

from codec.errors import UsageError
from codec.rate import bits_per_frame, check_bitrate, codebook_bitrate, codebooks_for_bitrate
from tests.small_model import small_model


def test_a_codebook_costs_its_raw_index_bits() -> None:
    assert codebook_bitrate(small_model()) == 50 * 4
    assert bits_per_frame(small_model(), 0.6) == pytest.approx(12)


@pytest.mark.parametrize(
    ("bitrate", "channels", "count"), [(0.2, 1, 1), (0.6, 1, 3), (0.79, 1, 3), (0.8, 1, 4), (0.8, 2, 2)]
)
def test_the_largest_number_that_fits(bitrate: float, channels: int, count: int) -> None:
    assert codebooks_for_bitrate(small_model(), bitrate, channels) == count


@pytest.mark.parametrize("bitrate", [0.0, -1.0, 0.19, 0.81, 1e9, float("nan"), float("inf"), float("-inf")])
def test_out_of_range_is_refused_with_the_range(bitrate: float) -> None:
    with pytest.raises(UsageError, match=r"between 0\.2 and 0\.8 kbit/s"):
        codebooks_for_bitrate(small_model(), bitrate, 1)
    with pytest.raises(UsageError, match=r"between 0\.2 and 0\.8 kbit/s"):
        check_bitrate(small_model(), bitrate, 1)
