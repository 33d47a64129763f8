from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import CodePacking, bits_per_code
from codec.errors import CodecError, UsageError


@pytest.mark.parametrize(("words", "bits"), [(2, 1), (3, 2), (4, 2), (1024, 10), (1025, 11), (65536, 16)])
def test_bits_are_the_logarithm_rounded_up(words: int, bits: int) -> None:
    assert bits_per_code(words) == bits


@pytest.mark.parametrize("words", [-1, 0, 1, 65537])
def test_codebook_sizes_without_a_packing_are_refused(words: int) -> None:
    with pytest.raises(UsageError, match="words"):
        bits_per_code(words)


def test_codes_follow_frame_by_frame_then_channel_then_codebook_most_significant_bit_first() -> None:
    codes = np.array([[[1, 5], [2, 6]], [[3, 7], [4, 0]]])
    packed = CodePacking(num_codebooks=2, bits_per_code=3).pack(codes)
    bits = "".join(f"{byte:08b}" for byte in packed)
    assert bits == "001010011100101110111000"


def test_the_example_of_the_format_description() -> None:
    codes = np.array([[[1, 0, 16], [31, 2, 3]]])
    assert CodePacking(num_codebooks=2, bits_per_code=5).pack(codes).hex(" ") == "0f c0 28 0c"


def test_the_last_byte_is_filled_with_zeros() -> None:
    assert CodePacking(1, 10).pack(np.array([[[1023]]])) == b"\xff\xc0"


@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 16), st.integers(0, 40), st.integers(0, 2**32 - 1)
)
def test_codes_come_back_and_take_exactly_their_bits(
    channels: int, codebooks: int, bits: int, frames: int, seed: int
) -> None:
    packing = CodePacking(codebooks, bits)
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (channels, codebooks, frames))
    packed = packing.pack(codes)
    assert len(packed) == packing.num_bytes(channels, frames) == -(-channels * codebooks * frames * bits // 8)
    back = packing.unpack(packed, channels, frames)
    assert back.dtype == np.int64
    np.testing.assert_array_equal(back, codes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_any_integer_type_packs_alike(dtype: type[np.generic]) -> None:
    codes = np.arange(24).reshape(2, 3, 4)
    packing = CodePacking(3, 5)
    assert packing.pack(codes.astype(dtype)) == packing.pack(codes)


@pytest.mark.parametrize("code", [-1, 32, 2**16, 2**40, -(2**40)])
def test_codes_that_do_not_fit_are_refused(code: int) -> None:
    codes = np.zeros((1, 1, 3), np.int64)
    codes[0, 0, 1] = code
    with pytest.raises(UsageError, match=r"0\.\.31"):
        CodePacking(1, 5).pack(codes)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((1, 2), int), np.zeros((1, 3, 4), int), np.zeros((1, 2, 4)), np.zeros((1, 2, 0))],
)
def test_codes_of_another_shape_or_type_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(UsageError, match="codes must be"):
        CodePacking(2, 5).pack(codes)


@pytest.mark.parametrize(("codebooks", "bits"), [(0, 5), (1, 0), (1, 17)])
def test_impossible_packings_are_refused(codebooks: int, bits: int) -> None:
    with pytest.raises(UsageError, match="must"):
        CodePacking(codebooks, bits)


@pytest.mark.parametrize(("payload", "frames"), [(b"", 1), (b"\x00\x00", 1), (b"\x00", 2), (b"\x01", 1)])
def test_payloads_of_no_codes_are_refused(payload: bytes, frames: int) -> None:
    with pytest.raises(CodecError):
        CodePacking(1, 5).unpack(payload, 1, frames)


@given(st.integers(1, 16), st.binary(min_size=1, max_size=40))
def test_whatever_unpacks_lies_within_its_bits_and_packs_to_the_same_bytes(bits: int, data: bytes) -> None:
    packing = CodePacking(1, bits)
    frames = len(data) * 8 // bits
    if packing.num_bytes(1, frames) != len(data):
        return
    try:
        codes = packing.unpack(data, 1, frames)
    except CodecError:
        assert int.from_bytes(data) % (1 << (len(data) * 8 - frames * bits)) != 0
        return
    assert codes.min() >= 0
    assert codes.max() < 1 << bits
    assert packing.pack(codes) == data
