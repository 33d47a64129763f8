"""The reader that was written from the documents of the format decodes their examples, and refuses damage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import EntropyCoder, PayloadCoder
from tests.bitstream.small_tables import random_tables
from tests.golden import vector
from tests.spec_reader import (
    CodedSymbols,
    Codes,
    Header,
    PayloadReader,
    Tables,
    crc8,
    mix,
    read_container,
    read_packets,
    read_tables,
)


def _header(num_codebooks: int, bits: int, block_frames: int) -> Header:
    return Header(41, "tiny", bytes(8), 16_000, 1, 16_000, 320, num_codebooks, bits, block_frames, 0)


def _example_tables() -> Tables:
    """The tables of the last example of docs/bitstream-payload.md."""
    left = np.round(65536 / (1 + np.exp(-(np.arange(2048) - 1023.5) / 128)))
    return {
        "leaves": np.array([[0, 2, 1, 3]]),
        "features": np.array([[[-40], [10], [60], [100]]]),
        "past_in_weight": np.array([[20]]),
        "past_in_bias": np.array([100]),
        "past_out_weight": np.array([[-12]]),
        "past_out_bias": np.array([900]),
        "hidden_weight": np.array([[[5, -2]]]),
        "hidden_bias": np.array([[50]]),
        "node_weight": np.array([[[9], [-7], [4]]]),
        "node_bias": np.array([[-300, 200, -400]]),
        "shifts": np.array([5, 2, 3, 1]),
        "left": left.astype(np.int64),
        "counts": np.array([[0, 57344], [0, 8192], [0, 32768]]),
    }


def _codes(columns: list[tuple[int, ...]]) -> Codes:
    return np.array(columns).T[None]


def test_the_check_is_that_of_the_document() -> None:
    assert crc8(b"123456789") == 0xF4


def test_the_mix_is_that_of_the_document() -> None:
    assert mix(1) == mix(1 + (1 << 32)) == 0x688990C0


def test_raw_examples() -> None:
    payload = bytes.fromhex("02 0F C0 28 0C")
    codes = PayloadReader(_header(2, 5, 3), None).read(payload)
    assert np.array_equal(codes, _codes([(1, 31), (0, 2), (16, 3)]))
    payload = bytes.fromhex("7F 00 03 83 F4 14 06")
    codes = PayloadReader(_header(2, 5, 4), None).read(payload)
    assert np.array_equal(codes, _codes([(1, 31), (0, -1), (16, 3)]))


def test_range_coder_example() -> None:
    symbols = CodedSymbols(bytes.fromhex("27 F4 49"), {})
    for start, size in ((10_000, 500), (30_000, 2), (50_000, 15_536)):
        assert start <= symbols.target() < start + size
        symbols.take(start, size)
    symbols.finish()


@pytest.mark.parametrize("payload", ["BF AE 0B", "3F D8 6D C0"])
def test_entropy_coded_example(payload: str) -> None:
    codes = PayloadReader(_header(1, 2, 8), _example_tables()).read(bytes.fromhex(payload))
    assert codes.tolist() == [[[2, 2, -1, -1, -1, 2, 2, 3]]]


@settings(max_examples=60)
@given(st.data(), st.integers(1, 70), st.integers(1, 9), st.integers(1, 3), st.integers(1, 9))
def test_what_the_codec_packs_is_read(
    data: st.DataObject, count: int, bits: int, channels: int, frames: int
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    tables = random_tables(count, 1 << bits, int(rng.integers(9))) if bits < 7 else None
    codes = rng.integers(0, 1 << bits, (channels, count, frames))
    varies = data.draw(st.booleans())
    sent = rng.integers(0, count + 1, (channels, 1, frames) if varies else (1, 1, 1))
    codes[np.broadcast_to(np.arange(count)[:, None] >= sent, codes.shape)] = -1
    length = data.draw(st.integers(frames, 2 * frames))
    coder = PayloadCoder(count, bits, length, channels, EntropyCoder(tables) if tables else None)
    arrays = {name: value.astype(np.int64) for name, value in tables.arrays()} if tables else None
    reader = PayloadReader(replace(_header(count, bits, length), channels=channels), arrays)
    assert np.array_equal(reader.read(coder.pack(codes)), codes)


def test_what_the_documents_refuse_is_refused() -> None:
    golden = vector("residual_cbr")
    tables = read_tables((golden.model_folder() / "entropy.safetensors").read_bytes())
    (data,) = golden.parts()
    read_container(data, tables)
    for spoilt in (
        data[:-1],
        data + b"\0",
        data[:100] + data[101:],
        data[:80] + bytes([data[80] ^ 1]) + data[81:],
        b"RIFF" + data[4:],
    ):
        with pytest.raises(ValueError, match=r"\w"):
            read_container(spoilt, tables)
    live = vector("residual_packets")
    packets = live.parts()
    for wrong in (packets[:-1], packets[1:], [*packets[:9], *packets[10:]], [*packets, packets[5]]):
        with pytest.raises(ValueError, match=r"\w"):
            read_packets(wrong, tables)
