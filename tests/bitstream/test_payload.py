"""Raw payloads: their bytes are those of the format's description, and whatever is no payload is
refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream.codes import Codes, bits_per_code, codebooks_sent
from codec.bitstream.payload import PayloadCoder, max_payload_bytes
from codec.errors import CodecError, UsageError


def draw_codes(
    rng: np.random.Generator, channels: int, codebooks: int, frames: int, bits: int, n: str
) -> Codes:
    """Random codes [C, M, F] whose frames send all, none, a constant number, or any number of codebooks."""
    codes = rng.integers(0, 1 << bits, (channels, codebooks, frames))
    counts = {
        "all": np.full((channels, frames), codebooks),
        "none": np.zeros((channels, frames), int),
        "some": np.full((channels, frames), rng.integers(0, codebooks + 1)),
        "any": rng.integers(0, codebooks + 1, (channels, frames)),
    }[n]
    codes[np.arange(codebooks)[:, None] >= counts[:, None]] = -1
    return codes


@pytest.mark.parametrize(("words", "bits"), [(2, 1), (3, 2), (4, 2), (1024, 10), (1025, 11), (65536, 16)])
def test_bits_are_the_logarithm_rounded_up(words: int, bits: int) -> None:
    assert bits_per_code(words) == bits


@pytest.mark.parametrize("words", [-1, 0, 1, 65537])
def test_codebook_sizes_without_a_packing_are_refused(words: int) -> None:
    with pytest.raises(UsageError, match="words"):
        bits_per_code(words)


def test_codes_follow_frame_by_frame_then_channel_then_codebook_most_significant_bit_first() -> None:
    codes = np.array([[[1, 5], [2, 6]], [[3, 7], [4, 0]]])
    packed = PayloadCoder(2, 3, block_frames=2, channels=2).pack(codes)
    assert packed[0] == 2
    assert "".join(f"{byte:08b}" for byte in packed[1:]) == "001010011100101110111000"


def test_the_raw_examples_of_the_format_description() -> None:
    codes = np.array([[[1, 0, 16], [31, 2, 3]]])
    assert PayloadCoder(2, 5, 3, 1).pack(codes).hex(" ") == "02 0f c0 28 0c"
    codes[0, 1, 1] = -1
    assert PayloadCoder(2, 5, 4, 1).pack(codes).hex(" ") == "7f 00 03 83 f4 14 06"


@given(
    st.integers(1, 3),
    st.sampled_from([1, 2, 5, 63, 64, 70]),
    st.integers(1, 16),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from(["all", "none", "some", "any"]),
    st.integers(0, 2**32 - 1),
)
def test_codes_come_back_within_the_bound(
    channels: int, codebooks: int, bits: int, frames: int, short: bool, n: str, seed: int
) -> None:
    coder = PayloadCoder(codebooks, bits, frames + 3 * short, channels)
    codes = draw_codes(np.random.default_rng(seed), channels, codebooks, frames, bits, n)
    packed = coder.pack(codes)
    back = coder.unpack(packed)
    assert back.dtype == np.int64
    np.testing.assert_array_equal(back, codes)
    assert coder.raw_index_bits(codes) == codebooks_sent(codes).sum() * bits
    assert len(packed) <= max_payload_bytes(codebooks, bits, frames, channels) + 2 * short
    if packed[0] & 63 != 63:
        assert len(packed) == 1 + 2 * short + -(-coder.raw_index_bits(codes) // 8)


def test_a_look_at_a_payload_tells_frames_and_a_constant_count() -> None:
    coder, rng = PayloadCoder(3, 5, block_frames=8, channels=2), np.random.default_rng(0)
    for frames in (1, 8):
        for n, expected in (("all", 3), ("none", 0)):
            assert coder.peek(coder.pack(draw_codes(rng, 2, 3, frames, 5, n))) == (frames, expected)
        codes = draw_codes(rng, 2, 3, frames, 5, "all")
        codes[1, 2, 0] = -1
        assert coder.peek(coder.pack(codes)) == (frames, None)
    for payload in (b"", b"\x05", b"\x40\x00\x08"):
        with pytest.raises(CodecError):
            coder.peek(payload)


def test_fewer_codebooks_than_the_stream_has_are_a_prefix() -> None:
    coder = PayloadCoder(5, 4, 2, 1)
    back = coder.unpack(coder.pack(np.array([[[1, 2], [3, 4]]])))
    np.testing.assert_array_equal(back[0], [[1, 2], [3, 4], [-1, -1], [-1, -1], [-1, -1]])
    assert (coder.unpack(coder.pack(np.zeros((1, 0, 2), np.int64))) == -1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_any_integer_type_packs_alike(dtype: type[np.generic]) -> None:
    codes = np.arange(24).reshape(2, 3, 4)
    coder = PayloadCoder(3, 5, 4, 2)
    assert coder.pack(codes.astype(dtype)) == coder.pack(codes)


@pytest.mark.parametrize("code", [-2, 32, 2**16, 2**40, -(2**40)])
def test_codes_that_do_not_fit_are_refused(code: int) -> None:
    codes = np.zeros((1, 1, 3), np.int64)
    codes[0, 0, 1] = code
    with pytest.raises(UsageError, match=r"0\.\.31"):
        PayloadCoder(1, 5, 3, 1).pack(codes)


def test_a_code_behind_one_that_is_not_sent_is_refused() -> None:
    with pytest.raises(UsageError, match="first n codebooks"):
        PayloadCoder(2, 5, 1, 1).pack(np.array([[[-1], [3]]]))


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((1, 2), int),
        np.zeros((1, 3, 4), int),
        np.zeros((2, 2, 4), int),
        np.zeros((1, 2, 5), int),
        np.zeros((1, 2, 4)),
        np.zeros((1, 2, 0), int),
    ],
)
def test_codes_of_another_shape_or_type_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(UsageError, match="codes must be"):
        PayloadCoder(2, 5, 4, 1).pack(codes)


@pytest.mark.parametrize("sizes", [(0, 5, 1, 1), (1, 0, 1, 1), (1, 17, 1, 1), (1, 5, 0, 1), (1, 5, 1, 0)])
def test_impossible_coders_are_refused(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="must lie in"):
        PayloadCoder(*sizes)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "at least one byte"),
        ("02 0f c0 28", "3 bytes of codes where 4 are due"),
        ("02 0f c0 28 0c 00", "5 bytes of codes where 4 are due"),
        ("02 0f c0 28 0d", "not zero"),
        ("03 0f c0 28 0c", "3 codebooks where the stream has 2"),
        ("42", "short payload"),
        ("42 00", "short payload"),
        ("42 00 00", "short payload of 0 frames"),
        ("42 00 03 0f c0 28 0c", "short payload of 3 frames"),
        ("42 ff ff 0f c0 28 0c", "short payload of 65535 frames"),
        ("82 0f c0 28 0c", "no tables"),
        ("3f", "number of codebooks"),
        ("3f ff ff ff", "number of codebooks"),
        ("3f 88 03", "number of codebooks"),
        ("3f 80 01", "2 bytes of codes where 3 are due"),
    ],
)
def test_payloads_of_no_codes_are_refused(payload: str, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        PayloadCoder(2, 5, 3, 1).unpack(bytes.fromhex(payload))


@given(st.integers(1, 70), st.integers(1, 16), st.integers(1, 9), st.integers(1, 2), st.binary(max_size=60))
def test_whatever_unpacks_is_codes_and_packs_to_no_more_bytes(
    codebooks: int, bits: int, frames: int, channels: int, data: bytes
) -> None:
    coder = PayloadCoder(codebooks, bits, frames, channels)
    try:
        codes = coder.unpack(data)
    except CodecError:
        return
    assert codes.shape[:2] == (channels, codebooks)
    assert codes.max() < 1 << bits
    packed = coder.pack(codes)
    assert len(packed) <= len(data)
    if data[0] & 63 != 63:
        assert packed == data
