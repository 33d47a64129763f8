from __future__ import annotations

import io
import random
import zlib
from dataclasses import replace

import pytest

from codec.bitstream import BlockRead, Event, Lost, SeekableStream, StreamEnd
from codec.bitstream.footer import Footer, encode_footer
from codec.bitstream.header import DamagedHeaderError
from codec.bitstream.units import FOOTER, SYNC, encode_block, encode_unit, unit_field
from codec.errors import CodecError
from tests.bitstream.streams import (
    HASH,
    HEADER,
    check_reading,
    end_of,
    good_blocks,
    header,
    lost,
    random_payloads,
    read,
    small_stream,
    write_parts,
)

LONG = header(num_codebooks=20, bits_per_code=10, block_frames=10)
BLOCKS = 3000
FRAMES = 10 * BLOCKS - 3
PAYLOADS = random_payloads(LONG, FRAMES, 0)
PARTS = write_parts(LONG, PAYLOADS, FRAMES, FRAMES * 320)
DATA = b"".join(PARTS)


class CountingFile(io.BytesIO):
    """Tells how much was read of it, and returns less than it is asked for, as raw files may."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size if size is None or size < 8 else size - 7)
        self.bytes_read += len(data)
        return data


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def opened(data: bytes) -> SeekableStream:
    return SeekableStream(io.BytesIO(data), "talk.nac")


def check_span(events: list[Event], whole: list[Event], start: int, stop: int) -> None:
    """Asserts that a span of the long stream is covered, with true payloads and all that the whole tells."""
    clock, blocks = None, good_blocks(events, LONG)
    for event in events:
        if isinstance(event, BlockRead | Lost):
            assert clock in (None, event.position)
            assert clock is not None or event.position <= start
            clock = event.position + (event.frames if isinstance(event, Lost) else 10)
    assert clock is not None
    assert clock >= min(stop, FRAMES)
    assert all(payload == PAYLOADS[index] for index, payload in blocks.items())
    known = {index for index in good_blocks(whole, LONG) if start // 10 <= index < -(-stop // 10)}
    assert known <= set(blocks)


def test_a_span_is_found_from_anywhere(rng: random.Random) -> None:
    stream = opened(DATA)
    assert (stream.header, stream.repaired) == (LONG, False)
    assert stream.footer == Footer(FRAMES, FRAMES * 320, HASH, LONG.to_bytes())
    for start in [0, 1, 9, 10, FRAMES - 1, FRAMES - 10, *(rng.randrange(FRAMES) for _ in range(300))]:
        stop = start + rng.randrange(1, 100)
        events = [event for event in stream.events(start, stop) if not isinstance(event, StreamEnd)]
        blocks = range(start // 10, min(-(-stop // 10), BLOCKS))
        assert events == [BlockRead(10 * index, PAYLOADS[index]) for index in blocks]


def test_the_whole_is_what_a_reading_from_the_start_tells() -> None:
    assert list(opened(DATA).events()) == read(DATA)[1:]
    assert list(opened(DATA).events(FRAMES - 1))[1:] == [StreamEnd(FRAMES, FRAMES * 320, HASH, None)]
    assert list(opened(DATA).events(FRAMES + 1000)) == [StreamEnd(FRAMES, FRAMES * 320, HASH, None)]


def test_only_what_is_needed_is_read(rng: random.Random) -> None:
    file = CountingFile(DATA)
    stream = SeekableStream(file)
    start = rng.randrange(FRAMES - 100)
    events = list(stream.events(start, start + 10))
    assert events[0] == BlockRead(start // 10 * 10, PAYLOADS[start // 10])
    assert len(DATA) > 20 * file.bytes_read / 9 > 0


def test_damage_hides_its_own_blocks_alone(rng: random.Random) -> None:
    for _ in range(40):
        data = bytearray(DATA)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(PARTS[0]), len(DATA) - len(PARTS[-1]))
            size = min(rng.choice([1, 100, 10_000, 200_000]), len(DATA) - len(PARTS[-1]) - at)
            data[at : at + size] = rng.choice([bytes(size), rng.randbytes(size), DATA[1000 : 1000 + size]])[
                :size
            ]
        del data[len(PARTS[0]) + 5000 : len(PARTS[0]) + 5000 + rng.randrange(3000)]
        whole = read(bytes(data))
        stream = opened(bytes(data))
        for _ in range(10):
            start = rng.randrange(FRAMES)
            stop = start + rng.randrange(1, 400)
            check_span(list(stream.events(start, stop)), whole, start, stop)


def test_a_misplaced_copy_helps_and_never_shifts_the_clock() -> None:
    # Blocks 100 to 199 are gone, 150 to 159 stand again far behind: only a search can meet them there.
    parts = [*PARTS[:101], bytes(9000), *PARTS[201:2001], *PARTS[151:161], *PARTS[2001:]]
    data = b"".join(parts)
    whole = read(data)
    assert lost(whole)[0] == Lost(1000, 1000, "damaged")
    stream = opened(data)
    for start in range(900, 2100, 7):
        check_span(list(stream.events(start, start + 300)), whole, start, start + 300)


def test_a_block_between_the_places_of_blocks_is_not_sought() -> None:
    # A good block at frame 5,003 lies in the middle of the file, where the search looks first.
    stray = encode_block(5003, b"no place for it", LONG.crc)
    middle = BLOCKS // 2
    data = b"".join([*PARTS[:middle], *[stray] * 600, *PARTS[middle:]])
    whole = read(data)
    for start in (4990, 5003, 9000, 14_990, 15_000, 20_000):
        check_span(list(opened(data).events(start, start + 300)), whole, start, start + 300)


@pytest.mark.parametrize("cut", [len(PARTS[-1]), 1, 5 * len(PARTS[-2])])
def test_without_a_footer_the_span_is_found_all_the_same(cut: int) -> None:
    stream = opened(DATA[:-cut])
    assert stream.footer is None
    assert list(stream.events(15_003, 15_011)) == [
        BlockRead(10 * index, PAYLOADS[index]) for index in (1500, 1501)
    ]
    assert end_of(list(stream.events(FRAMES))).num_samples is None


def test_streams_longer_than_positions_count_are_read_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("units", "container", "seeking"):
        monkeypatch.setattr(f"codec.bitstream.{module}.POSITION_MODULUS", 1 << 12)
    data = b"".join(write_parts(LONG, PAYLOADS, FRAMES, 0))
    for start in (0, 5_000, 20_005):
        assert next(opened(data).events(start)) == BlockRead(start // 10 * 10, PAYLOADS[start // 10])


def test_any_damaged_byte_of_the_header_is_mended_from_the_footer() -> None:
    payloads, parts = small_stream()
    whole = b"".join(parts)
    for at in range(len(parts[0])):
        for mask in range(1, 256):
            data = bytearray(whole)
            data[at] ^= mask
            stream = opened(bytes(data))
            assert stream.repaired
            assert stream.header == HEADER
            events = read(bytes(data), head=HEADER)
            assert list(stream.events()) == events[1:]
            check_reading(events, HEADER, payloads)
            assert lost(events) == [Lost(0, 0, f"{len(parts[0])} bytes that belong to no block")]


@pytest.mark.parametrize("junk", [b"", b"\0", SYNC, b"\0" * 60_000, (SYNC + unit_field(FOOTER)) * 13_000])
def test_a_lost_header_is_mended_although_bytes_follow_the_footer(junk: bytes) -> None:
    payloads, parts = small_stream()
    for start in (b"", b"\0" * 1000):
        stream = opened(start + b"".join(parts[1:]) + junk)
        assert stream.repaired
        assert good_blocks(list(stream.events())) == dict(enumerate(payloads))


@pytest.mark.parametrize("fields", [{}, {"sample_rate": 8000}, {"model_id": b"another!"}])
def test_of_joined_streams_the_first_is_read_and_sought(
    fields: dict[str, object], rng: random.Random
) -> None:
    later = b"".join(write_parts(replace(LONG, **fields), PAYLOADS[:100], 1000, 0))  # type: ignore[arg-type]
    joined = opened(DATA + later)
    assert joined.footer == opened(DATA).footer
    for start in [0, 9, FRAMES - 1, *(rng.randrange(FRAMES) for _ in range(50))]:
        found = good_blocks(list(joined.events(start, start + 1)), LONG)
        assert found == {start // 10: PAYLOADS[start // 10]}
    ignored = f"{len(later)} bytes after the footer were ignored"
    assert list(joined.events(FRAMES - 1))[-1] == StreamEnd(FRAMES, FRAMES * 320, HASH, ignored)


def test_a_damaged_header_and_a_damaged_footer_are_refused() -> None:
    _, parts = small_stream()
    body = b"".join(parts[1:-1])
    for at in range(len(parts[-1])):
        footer = bytearray(parts[-1])
        footer[at] ^= 0x40
        with pytest.raises(DamagedHeaderError, match=r"talk\.nac has a damaged header: get a fresh copy"):
            opened(parts[0][:-1] + bytes([parts[0][-1] ^ 1]) + body + bytes(footer))
        with pytest.raises(DamagedHeaderError):
            opened(parts[0][:-1] + bytes([parts[0][-1] ^ 1]) + body + parts[-1][:at])


def test_what_cannot_be_mended_is_refused_as_it_is() -> None:
    _, parts = small_stream()
    for cut in range(len(parts[0])):
        with pytest.raises(CodecError, match=r"is empty|ends inside its header"):
            opened(parts[0][:cut])
    with pytest.raises(CodecError, match="is not a codec bitstream"):
        opened(b"RIFF" + bytes(100_000))
    newer = bytearray(parts[0][:-4])
    newer[4] = 2
    with pytest.raises(CodecError, match=r"version 2 .*update codec"):
        opened(bytes(newer) + zlib.crc32(newer).to_bytes(4) + b"".join(parts[1:]))


def test_a_footer_that_is_none_is_not_taken() -> None:
    payloads, parts = small_stream()
    other = small_stream(model_id=b"another!")[1]
    for last in (other[-1], b"", encode_unit(FOOTER, bytes(60), HEADER.crc)):
        stream = opened(b"".join(parts[:-1]) + last)
        assert stream.footer is None
        assert good_blocks(list(stream.events())) == dict(enumerate(payloads))
    longer = encode_footer(Footer(10**15, 10**15, HASH, HEADER.to_bytes()), HEADER.crc)
    events = list(opened(b"".join(parts[:-1]) + longer).events(12))
    assert good_blocks(events) == {3: payloads[3], 4: payloads[4]}
    assert end_of(events).num_samples is None
