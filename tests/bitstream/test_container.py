from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import BlockRead, ContainerReader, ContainerWriter, HeaderRead, StreamEnd
from codec.errors import UsageError
from tests.bitstream.streams import (
    HEADER,
    check_reading,
    end_of,
    good_blocks,
    header,
    random_codes,
    read,
    small_stream,
    write_parts,
)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 16), st.integers(1, 9)),
    st.integers(0, 40),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_streams_come_back_however_they_are_cut(
    shape: tuple[int, int, int, int], num_frames: int, sizes: list[int], seed: int
) -> None:
    channels, codebooks, bits, block_frames = shape
    head = header(channels=channels, num_codebooks=codebooks, bits_per_code=bits, block_frames=block_frames)
    codes = random_codes(head, num_frames, seed)
    events = read(b"".join(write_parts(head, codes, num_frames * 320)), sizes)
    check_reading(events, head, codes)
    assert len(good_blocks(events)) == len(events) - 2 == -(-num_frames // block_frames)
    assert end_of(events) == StreamEnd(num_frames * 320, None)


def test_byte_by_byte_gives_each_block_with_its_last_byte() -> None:
    _, parts = small_stream()
    reader = ContainerReader()
    for number, part in enumerate(parts[:-1]):
        early = [event for byte in part[:-1] for event in reader.push(bytes([byte]))]
        assert early == []
        (event,) = reader.push(part[-1:])
        assert isinstance(event, HeaderRead if number == 0 else BlockRead)


def test_memoryviews_and_empty_pieces_are_taken() -> None:
    codes, parts = small_stream()
    reader = ContainerReader()
    events = reader.push(b"") + reader.push(memoryview(b"".join(parts))) + reader.push(bytearray())
    check_reading([*events, *reader.finish()], HEADER, codes)


def test_a_live_stream_is_read_while_it_is_written() -> None:
    writer, reader = ContainerWriter(HEADER), ContainerReader()
    assert reader.push(writer.start()) == [HeaderRead(HEADER)]
    for index in range(3):
        codes = random_codes(HEADER, 4, index)
        (event,) = reader.push(writer.block(codes))
        assert isinstance(event, BlockRead)
        assert event.index == index
        np.testing.assert_array_equal(event.codes, codes)
    assert reader.push(writer.finish(3 * 4 * 320)) == []
    assert reader.finish() == [StreamEnd(3 * 4 * 320, None)]


@pytest.mark.parametrize("num_samples", [0, 319])
def test_a_stream_of_no_frames_is_a_stream(num_samples: int) -> None:
    parts = write_parts(HEADER, random_codes(HEADER, 0, 0), num_samples)
    assert len(parts) == 2
    assert read(b"".join(parts), [1]) == [HeaderRead(HEADER), StreamEnd(num_samples, None)]


def test_one_full_block_exactly() -> None:
    codes = random_codes(HEADER, 4, 0)
    parts = write_parts(HEADER, codes, 1280)
    assert [len(part) for part in parts[1:]] == [11 + 5, 27]
    events = read(b"".join(parts))
    check_reading(events, HEADER, codes)
    assert end_of(events) == StreamEnd(1280, None)


def test_writer_and_reader_count_the_same_bytes() -> None:
    codes, parts = small_stream()
    writer = ContainerWriter(HEADER)
    data = writer.start()
    for start in range(0, codes.shape[2], 4):
        data += writer.block(codes[:, :, start : start + 4])
    data += writer.finish(0)
    reader = ContainerReader()
    reader.push(data)
    assert writer.payload_bytes == reader.payload_bytes == 4 * 5 + 3
    assert writer.container_bytes == reader.container_bytes == len(data) - writer.payload_bytes
    assert len(data) == len(b"".join(parts))


@pytest.mark.parametrize("block_frames", [1, 5, 100, 500])
@pytest.mark.parametrize("codebooks", [1, 3, 6, 20])
def test_a_minute_of_speech_keeps_its_size_bound(codebooks: int, block_frames: int) -> None:
    head = header(model_name="n" * 32, num_codebooks=codebooks, bits_per_code=10, block_frames=block_frames)
    parts = write_parts(head, random_codes(head, 3001, 0), 60 * 16000)
    blocks = -(-3001 // block_frames)
    assert len(parts) == blocks + 2
    assert sum(map(len, parts)) <= codebooks * 10 * 50 * 60 / 8 + 200 + 12 * blocks


def test_block_numbers_may_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.bitstream.units.SEQUENCE_MODULUS", 8)
    monkeypatch.setattr("codec.bitstream.container.SEQUENCE_MODULUS", 8)
    codes = random_codes(HEADER, 4 * 21 + 1, 0)
    parts = write_parts(HEADER, codes, 21 * 4 * 320)
    check_reading(read(b"".join(parts)), HEADER, codes)
    without_two = read(b"".join(parts[:7] + parts[9:]))
    check_reading(without_two, HEADER, codes)
    assert sorted(good_blocks(without_two)) == [i for i in range(22) if i not in (6, 7)]
    assert end_of(without_two) == StreamEnd(21 * 4 * 320, None)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((1, 2, 5), int),
        np.zeros((1, 2, 0), int),
        np.zeros((2, 2, 4), int),
        np.zeros((1, 3, 4), int),
        np.zeros((2, 4), int),
        np.full((1, 2, 4), 32),
        np.full((1, 2, 4), -1),
    ],
)
def test_blocks_that_the_header_does_not_allow_are_refused(codes: np.ndarray) -> None:
    writer = ContainerWriter(HEADER)
    writer.start()
    with pytest.raises(UsageError):
        writer.block(codes)
    assert read(HEADER.to_bytes() + writer.finish(0)) == [HeaderRead(HEADER), StreamEnd(0, None)]


def test_nothing_follows_a_short_block_but_the_footer() -> None:
    writer = ContainerWriter(HEADER)
    writer.start()
    writer.block(random_codes(HEADER, 3, 0))
    with pytest.raises(UsageError, match="last block"):
        writer.block(random_codes(HEADER, 4, 0))


@pytest.mark.parametrize("num_samples", [-1, 5 * 320])
def test_a_length_that_the_blocks_cannot_hold_is_refused(num_samples: int) -> None:
    writer = ContainerWriter(HEADER)
    writer.start()
    writer.block(random_codes(HEADER, 4, 0))
    with pytest.raises(UsageError, match="4 frames cannot hold"):
        writer.finish(num_samples)


@pytest.mark.parametrize(("sample_rate", "coded_rate"), [(44100, 16000), (8000, 16000), (192000, 24000)])
@given(num_samples=st.integers(0, 10**7))
def test_a_length_at_another_rate_fits_if_the_resampled_sound_does(
    sample_rate: int, coded_rate: int, num_samples: int
) -> None:
    head = header(
        sample_rate=sample_rate, coded_rate=coded_rate, bits_per_code=1, num_codebooks=1, block_frames=65535
    )
    frames = num_samples * coded_rate // sample_rate // head.hop
    writer = ContainerWriter(head)
    pieces = [writer.start()]
    for start in range(0, frames, 65535):
        pieces.append(writer.block(np.zeros((1, 1, min(65535, frames - start)), int)))
    reader = ContainerReader()
    reader.push(b"".join([*pieces, writer.finish(num_samples)]))
    assert reader.finish()[-1] == StreamEnd(num_samples, None)


def test_the_order_of_calls_is_kept() -> None:
    writer = ContainerWriter(HEADER)
    with pytest.raises(UsageError, match="follow the header"):
        writer.block(random_codes(HEADER, 4, 0))
    with pytest.raises(UsageError, match="follow the header"):
        writer.finish(0)
    data = writer.start()
    with pytest.raises(UsageError, match="written already"):
        writer.start()
    data += writer.finish(0)
    for late in (lambda: writer.block(random_codes(HEADER, 4, 0)), lambda: writer.finish(0)):
        with pytest.raises(UsageError, match="nothing follows the footer"):
            late()
    reader = ContainerReader()
    reader.push(data)
    reader.finish()
    with pytest.raises(UsageError, match="called already"):
        reader.finish()
    with pytest.raises(UsageError, match=r"after finish"):
        reader.push(b"x")
