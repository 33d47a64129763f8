from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import (
    BlockRead,
    ContainerReader,
    ContainerWriter,
    HeaderRead,
    Lost,
    MetadataRead,
    StreamEnd,
)
from codec.errors import UsageError
from tests.bitstream.streams import (
    HASH,
    HEADER,
    check_reading,
    end_of,
    good_blocks,
    header,
    random_payloads,
    read,
    small_stream,
    write_parts,
)

WHOLE = StreamEnd(18, 17 * 320 + 7, HASH, None)


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
    payloads = random_payloads(head, num_frames, seed)
    data = b"".join(write_parts(head, payloads, num_frames, num_frames * 320))
    events = read(data, sizes)
    assert events == read(data)
    check_reading(events, head, payloads)
    assert list(good_blocks(events, head).values()) == payloads
    assert end_of(events) == StreamEnd(num_frames, num_frames * 320, HASH, None)


def test_byte_by_byte_gives_each_block_with_its_last_byte() -> None:
    _, parts = small_stream()
    reader = ContainerReader()
    for number, part in enumerate(parts[:-1]):
        early = [event for byte in part[:-1] for event in reader.push(bytes([byte]))]
        assert early == []
        (event,) = reader.push(part[-1:])
        assert isinstance(event, HeaderRead if number == 0 else BlockRead)


def test_memoryviews_and_empty_pieces_are_taken() -> None:
    payloads, parts = small_stream()
    reader = ContainerReader()
    events = reader.push(b"") + reader.push(memoryview(b"".join(parts))) + reader.push(bytearray())
    check_reading([*events, *reader.finish()], HEADER, payloads)


def test_a_live_stream_is_read_while_it_is_written() -> None:
    writer, reader = ContainerWriter(HEADER), ContainerReader()
    assert reader.push(*writer.start()) == [HeaderRead(HEADER)]
    for position in (0, 4, 8):
        payload = bytes([position, 1])
        assert reader.push(*writer.block(position, payload, 4)) == [BlockRead(position, payload)]
    assert reader.push(*writer.finish(3 * 4 * 320, HASH)) == []
    assert reader.finish() == [StreamEnd(12, 3 * 4 * 320, HASH, None)]


@pytest.mark.parametrize("num_samples", [0, 319])
def test_a_stream_of_no_frames_is_a_stream(num_samples: int) -> None:
    parts = write_parts(HEADER, [], 0, num_samples)
    assert len(parts) == 2
    assert read(b"".join(parts), [1]) == [HeaderRead(HEADER), StreamEnd(0, num_samples, HASH, None)]


def test_writer_and_reader_count_the_same_bytes() -> None:
    writer, reader = ContainerWriter(HEADER), ContainerReader()
    parts = writer.start({"title": "A walk"}.items())
    parts += writer.block(0, b"x" * 7, 4) + writer.block(4, b"y", 1) + writer.finish(5 * 320, HASH)
    data = b"".join(parts)
    reader.push(data)
    assert writer.payload_bytes == reader.payload_bytes == 8
    assert writer.container_bytes == reader.container_bytes == len(data) - 8
    assert reader.skipped_bytes == 0


def test_a_minute_takes_at_most_560_bytes_of_container() -> None:
    head = header(model_name="n" * 10, num_codebooks=20, bits_per_code=10, block_frames=100)
    writer = ContainerWriter(head)
    parts = writer.start()
    for position in range(0, 3001, 100):
        parts += writer.block(position, bytes(2501), min(100, 3001 - position))
    parts += writer.finish(60 * 16000, HASH)
    assert writer.container_bytes == sum(map(len, parts)) - 31 * 2501
    assert writer.container_bytes == 47 + 31 * 12 + 85 <= 560


def test_a_reader_started_in_the_middle_goes_on_from_there() -> None:
    payloads, parts = small_stream()
    reader = ContainerReader(header=HEADER, position=8)
    events = reader.push(b"".join(parts[3:])) + reader.finish()
    assert events == [
        HeaderRead(HEADER),
        *(BlockRead(4 * index, payloads[index]) for index in (2, 3, 4)),
        WHOLE,
    ]


def test_positions_may_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.bitstream.units.POSITION_MODULUS", 64)
    monkeypatch.setattr("codec.bitstream.container.POSITION_MODULUS", 64)
    payloads = random_payloads(HEADER, 4 * 50 + 1, 0)
    parts = write_parts(HEADER, payloads, 4 * 50 + 1, 50 * 4 * 320)
    check_reading(read(b"".join(parts)), HEADER, payloads)
    without_two = read(b"".join(parts[:16] + parts[18:]))
    check_reading(without_two, HEADER, payloads)
    assert sorted(good_blocks(without_two)) == [i for i in range(51) if i not in (15, 16)]
    assert end_of(without_two) == StreamEnd(201, 50 * 4 * 320, HASH, None)


def test_a_writer_may_leave_out_blocks_that_it_does_not_have() -> None:
    writer = ContainerWriter(HEADER)
    parts = (
        writer.start() + writer.block(0, b"a", 4) + writer.block(12, b"b", 4) + writer.finish(16 * 320, HASH)
    )
    events = read(b"".join(parts))
    assert [getattr(event, "position", None) for event in events] == [None, 0, 4, 12, None]
    assert end_of(events).num_samples == 16 * 320


def test_a_writer_may_leave_out_the_last_blocks() -> None:
    for num_frames in (4, 5, 1000):
        writer = ContainerWriter(HEADER)
        data = b"".join(writer.start() + writer.block(0, b"a", 4))
        for wrong in (3, -1, 1 << 48):
            with pytest.raises(UsageError, match="the blocks hold 4 frames"):
                writer.finish(320, HASH, wrong)
        events = read(data + b"".join(writer.finish(num_frames * 320, HASH, num_frames)))
        missing = [Lost(4, num_frames - 4, "missing")] if num_frames > 4 else []
        assert events[2:] == [*missing, StreamEnd(num_frames, num_frames * 320, HASH, None)]
    writer = ContainerWriter(HEADER)
    writer.start()
    writer.block(0, b"a", 3)
    with pytest.raises(UsageError, match="the blocks hold 3 frames"):
        writer.finish(320, HASH, 4)


@pytest.mark.parametrize(
    ("position", "payload", "frames"),
    [
        *((position, b"x", 4) for position in (0, 5, 2, -4, 1 << 48)),
        *((4, b"x", frames) for frames in (5, 0, -1)),
        *((4, bytes(size), 4) for size in (0, 10)),
    ],
)
def test_blocks_that_the_header_does_not_allow_are_refused(
    position: int, payload: bytes, frames: int
) -> None:
    writer = ContainerWriter(HEADER)
    data = b"".join(writer.start() + writer.block(0, b"first", 4))
    with pytest.raises(UsageError, match="must"):
        writer.block(position, payload, frames)
    events = read(data + b"".join(writer.finish(0, HASH)))
    assert events == [HeaderRead(HEADER), BlockRead(0, b"first"), StreamEnd(4, 0, HASH, None)]


def test_nothing_follows_a_short_block_but_the_footer() -> None:
    writer = ContainerWriter(HEADER)
    writer.start()
    writer.block(0, b"x", 3)
    with pytest.raises(UsageError, match="last block"):
        writer.block(4, b"x", 4)


@pytest.mark.parametrize("num_samples", [-1, 5 * 320])
def test_a_length_that_the_blocks_cannot_hold_is_refused(num_samples: int) -> None:
    writer = ContainerWriter(HEADER)
    writer.start()
    writer.block(0, b"x", 4)
    with pytest.raises(UsageError, match="4 frames cannot hold"):
        writer.finish(num_samples, HASH)
    with pytest.raises(UsageError, match="8 bytes, not 3"):
        writer.finish(4 * 320, b"abc")


@pytest.mark.parametrize(("sample_rate", "coded_rate"), [(44100, 16000), (8000, 16000), (192000, 24000)])
@given(num_samples=st.integers(0, 10**7))
def test_a_length_at_another_rate_fits_if_the_resampled_sound_does(
    sample_rate: int, coded_rate: int, num_samples: int
) -> None:
    head = header(
        sample_rate=sample_rate, coded_rate=coded_rate, bits_per_code=1, num_codebooks=1, block_frames=65535
    )
    frames = num_samples * coded_rate // sample_rate // head.hop
    data = b"".join(write_parts(head, [b"x"] * -(-frames // 65535), frames, num_samples))
    assert end_of(read(data)) == StreamEnd(frames, num_samples, HASH, None)


def test_a_copied_reader_goes_on_alike() -> None:
    data = b"".join(small_stream()[1])
    for cut in range(0, len(data), 5):
        reader = ContainerReader()
        start = reader.push(data[:cut])
        twin = copy.deepcopy(reader)
        for each in (reader, twin):
            assert start + each.push(data[cut:]) + each.finish() == read(data)


def test_the_order_of_calls_is_kept() -> None:
    writer = ContainerWriter(HEADER)
    with pytest.raises(UsageError, match="follow the header"):
        writer.block(0, b"x", 4)
    with pytest.raises(UsageError, match="follow the header"):
        writer.finish(0, HASH)
    data = b"".join(writer.start())
    with pytest.raises(UsageError, match="written already"):
        writer.start()
    data += b"".join(writer.finish(0, HASH))
    for late in (lambda: writer.block(0, b"x", 4), lambda: writer.finish(0, HASH)):
        with pytest.raises(UsageError, match="nothing follows the footer"):
            late()
    reader = ContainerReader()
    reader.push(data)
    reader.finish()
    with pytest.raises(UsageError, match="called already"):
        reader.finish()
    with pytest.raises(UsageError, match=r"after finish"):
        reader.push(b"x")


def test_tags_come_with_the_header() -> None:
    writer = ContainerWriter(HEADER)
    tags = (("artist", "Ada"), ("artist", "Grace"), ("title", "多=語\n"))
    data = b"".join(writer.start(tags) + writer.block(0, b"x", 4) + writer.finish(0, HASH))
    assert read(data, [1])[:3] == [HeaderRead(HEADER), MetadataRead(tags), BlockRead(0, b"x")]
