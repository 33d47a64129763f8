from __future__ import annotations

import struct
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import ContainerReader, HeaderRead, PayloadCoder, StreamHeader, max_block_frames
from codec.bitstream.header import DamagedHeaderError
from codec.errors import CodecError, UsageError
from tests.bitstream.streams import HEADER, header, read

LETTERS = st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="/\\:.")
NAMES = st.text(LETTERS, min_size=1).filter(lambda name: len(name.encode()) <= 32)


def sealed(body: bytes) -> bytes:
    """A header with a checksum that holds."""
    return body + struct.pack(">I", crc32(body))


@given(
    NAMES,
    st.binary(min_size=8, max_size=8),
    st.tuples(st.integers(1, 768000), st.integers(1, 32), st.integers(1, 768000), st.integers(1, 65535)),
    st.tuples(st.integers(1, 100), st.integers(1, 16), st.integers(1, 10)),
    st.integers(0, 15),
    st.binary(max_size=100),
)
def test_headers_come_back(
    name: str,
    model_id: bytes,
    audio: tuple[int, int, int, int],
    coding: tuple[int, int, int],
    flags: int,
    extension: bytes,
) -> None:
    written = StreamHeader(name, model_id, *audio, *coding, flags, extension)
    assert ContainerReader().push(written.to_bytes()) == [HeaderRead(written)]
    assert written.max_payload_bytes < 1 << 16


def test_the_layout_is_the_documented_one() -> None:
    body = (
        b"\x8eNAC" + b"\x01" + b"\x00\x29" + b"\x00" + b"\x04tiny" + bytes(range(8)) + b"\x00\x00\x3e\x80"
        b"\x01" + b"\x00\x00\x3e\x80" + b"\x01\x40" + b"\x00\x02" + b"\x05" + b"\x00\x04"
    )
    assert HEADER.to_bytes() == sealed(body)


@pytest.mark.parametrize(("flags", "mode"), [(0, "cbr"), (1, "abr"), (2, "vbr"), (3, "unknown"), (13, "abr")])
def test_flags_tell_the_rate_mode(flags: int, mode: str) -> None:
    assert header(flags=flags).mode == mode


@pytest.mark.parametrize("bit", range(4, 8))
def test_flags_that_must_be_understood_are_refused(bit: int) -> None:
    body = bytearray(HEADER.to_bytes()[:-4])
    body[7] = 1 << bit
    with pytest.raises(CodecError, match=r"talk\.nac uses a part of the format .*: update codec") as caught:
        read(sealed(bytes(body)), name="talk.nac")
    assert not isinstance(caught.value, DamagedHeaderError)


@given(st.integers(1, 32), st.integers(1, 65535), st.integers(1, 16))
def test_the_longest_block_fits_and_one_frame_more_does_not(channels: int, codebooks: int, bits: int) -> None:
    longest = max_block_frames(channels, codebooks, bits)
    shape = {"channels": channels, "num_codebooks": codebooks, "bits_per_code": bits}
    if longest:
        assert header(**shape, block_frames=longest).max_payload_bytes < 1 << 16
    with pytest.raises(UsageError, match="block"):
        header(**shape, block_frames=longest + 1)


@given(st.data(), st.integers(1, 3), st.integers(1, 6), st.integers(1, 16), st.integers(1, 9))
def test_no_payload_is_longer_than_the_header_says(
    data: st.DataObject, channels: int, codebooks: int, bits: int, block_frames: int
) -> None:
    head = header(channels=channels, num_codebooks=codebooks, bits_per_code=bits, block_frames=block_frames)
    frames = data.draw(st.integers(1, block_frames))
    sent = data.draw(
        st.lists(st.integers(0, codebooks), min_size=channels * frames, max_size=channels * frames)
    )
    counts = np.array(sent).reshape(channels, 1, frames)
    codes = np.where(np.arange(codebooks)[:, None] < counts, (1 << bits) - 1, -1)
    payload = PayloadCoder(codebooks, bits, block_frames, channels).pack(codes)
    assert len(payload) <= head.max_payload_bytes


@pytest.mark.parametrize(
    "fields",
    [
        {"model_name": ""},
        {"model_name": "é" * 17},
        {"model_name": "\ud800"},
        {"model_name": "../evil"},
        {"model_name": ".."},
        {"model_name": "a\\b"},
        {"model_name": "a\nb"},
        {"model_name": "\x1b[2J"},
        {"model_id": b"short"},
        {"sample_rate": 0},
        {"sample_rate": 768001},
        {"channels": 0},
        {"channels": 33},
        {"coded_rate": 0},
        {"hop": 0},
        {"hop": 65536},
        {"num_codebooks": 0},
        {"num_codebooks": 65536},
        {"bits_per_code": 0},
        {"bits_per_code": 17},
        {"block_frames": 0},
        {"block_frames": 65536},
        {"block_frames": 65535, "num_codebooks": 17},
        {"flags": 16},
        {"flags": -1},
        {"extension": bytes(4096)},
    ],
)
def test_fields_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        header(**fields)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "talk.nac is empty"),
        (b"RIFF\x00\x00", "talk.nac is not a codec bitstream"),
        (b"\x00", "talk.nac is not a codec bitstream"),
        (b"just some text", "talk.nac is not a codec bitstream"),
        (b"\x8eNA", "talk.nac ends inside its header"),
        (HEADER.to_bytes()[:-1], "talk.nac ends inside its header"),
    ],
)
def test_what_is_no_stream_is_refused_in_a_sentence_with_a_remedy(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=rf"^{message}.*: \w+") as caught:
        read(data, name="talk.nac")
    assert "\n" not in str(caught.value)


def test_a_wrong_first_byte_is_refused_before_more_arrive() -> None:
    with pytest.raises(CodecError, match="not a codec bitstream"):
        ContainerReader().push(b"R")


def test_the_draft_is_told_from_damage() -> None:
    with pytest.raises(CodecError, match=r"version 0, which was a draft: encode"):
        read(sealed(b"\x8eNAC\x00" + struct.pack(">H", 40) + bytes(29)))


@pytest.mark.parametrize("size", [20, 40, 3000])
def test_a_newer_version_is_told_from_damage(size: int) -> None:
    newer = sealed(b"\x8eNAC\x07" + struct.pack(">H", size) + bytes(size - 11))
    with pytest.raises(CodecError, match=r"version 7 .*update"):
        read(newer)
    with pytest.raises(CodecError, match="damaged header"):
        read(newer[:-1] + bytes([newer[-1] ^ 1]))


@pytest.mark.parametrize("size", [0, 10, 4097, 65535])
def test_an_impossible_size_is_refused_at_once(size: int) -> None:
    with pytest.raises(CodecError, match="damaged header"):
        ContainerReader().push(b"\x8eNAC\x01" + struct.pack(">H", size))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (9, b"\xff"),
        (9, b"/"),
        (21, bytes(4)),
        (25, b"\x21"),
        (25, b"\xff"),
        (25, b"\x00"),
        (32, b"\xff\xff"),
        (34, b"\x11"),
        (35, bytes(2)),
        (35, b"\xff\xff"),
    ],
)
def test_impossible_fields_under_a_good_checksum_are_refused(at: int, value: bytes) -> None:
    big = header(num_codebooks=17, block_frames=100).to_bytes()[:-4]
    with pytest.raises(CodecError, match="impossible header"):
        read(sealed(big[:at] + value + big[at + len(value) :]) + bytes(100))


@pytest.mark.parametrize("name_bytes", [5, 255])
def test_a_name_size_that_the_header_has_no_room_for_is_refused(name_bytes: int) -> None:
    body = HEADER.to_bytes()[:-4]
    with pytest.raises(CodecError, match="damaged header"):
        read(sealed(body[:8] + bytes([name_bytes]) + body[9:]))


@pytest.mark.parametrize("fields", [b"\x00\x0b", b"\x00\x0c\x00", b"\x00\x0d\x00\x00", b"\x00\x0d\x00\xe5"])
def test_a_header_without_room_for_its_fields_is_refused(fields: bytes) -> None:
    with pytest.raises(CodecError, match="damaged header"):
        read(sealed(b"\x8eNAC\x01" + fields))


def test_every_flipped_byte_and_every_cut_is_refused() -> None:
    whole = HEADER.to_bytes()
    for at in range(len(whole)):
        with pytest.raises(CodecError, match="stream"):
            read(whole[:at])
        for mask in range(1, 256):
            flipped = bytearray(whole)
            flipped[at] ^= mask
            with pytest.raises(CodecError, match="stream"):
                read(bytes(flipped) + bytes(64))
