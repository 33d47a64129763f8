from __future__ import annotations

import struct
import tracemalloc
import zlib
from zlib import crc32

import numpy as np
import pytest

from codec.bitstream import BlockDamaged, BlockRead, ContainerReader, HeaderRead, StreamEnd
from codec.bitstream.units import SYNC, encode_footer, encode_unit
from tests.bitstream.streams import (
    HEADER,
    NUM_FRAMES,
    NUM_SAMPLES,
    check_reading,
    damaged,
    end_of,
    good_blocks,
    header,
    random_codes,
    read,
    small_stream,
    write_parts,
)

CODES, PARTS = small_stream()
BLOCKS = PARTS[1:-1]
LIVE = [1, 3, 7]


def joined(blocks: list[bytes], footer: bytes = PARTS[-1]) -> bytes:
    """A stream of the small header with other blocks or another footer."""
    return PARTS[0] + b"".join(blocks) + footer


def spoilt(block: bytes, at: int = 9) -> bytes:
    """A block with one byte changed."""
    return block[:at] + bytes([block[at] ^ 0x55]) + block[at + 1 :]


def test_any_flipped_byte_costs_its_own_block_alone() -> None:
    for number, block in enumerate(BLOCKS):
        for at in range(len(block)):
            for mask in range(1, 256):
                flipped = block[:at] + bytes([block[at] ^ mask]) + block[at + 1 :]
                events = read(joined([*BLOCKS[:number], flipped, *BLOCKS[number + 1 :]]))
                check_reading(events, HEADER, CODES)
                assert sorted(good_blocks(events)) == [i for i in range(5) if i != number]
                assert damaged(events) == [BlockDamaged(number, 4 if number < 4 else 2, "damaged", 1)]
                assert end_of(events) == StreamEnd(NUM_SAMPLES, None)


def test_any_flipped_byte_of_the_footer_costs_the_length_alone() -> None:
    footer = PARTS[-1]
    for at in range(len(footer)):
        for mask in range(1, 256):
            events = read(joined(BLOCKS, footer[:at] + bytes([footer[at] ^ mask]) + footer[at + 1 :]))
            check_reading(events, HEADER, CODES)
            assert len(good_blocks(events)) == 5
            assert damaged(events) == []
            assert end_of(events).num_samples is None
            assert "footer" in (end_of(events).reason or "")


@pytest.mark.parametrize("sizes", [[1 << 30], [1]])
def test_a_cut_anywhere_leaves_the_whole_blocks(sizes: list[int]) -> None:
    whole = b"".join(PARTS)
    ends = np.cumsum([len(part) for part in PARTS])
    for cut in range(len(PARTS[0]), len(whole)):
        events = read(whole[:cut], sizes)
        check_reading(events, HEADER, CODES)
        assert sorted(good_blocks(events)) == list(range(int((ends[1:-1] <= cut).sum())))
        assert damaged(events) == []
        assert end_of(events).num_samples is None
        assert "cut" in (end_of(events).reason or "")


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
@pytest.mark.parametrize("lost", [{0}, {2}, {4}, {0, 1}, {3, 4}, {1, 3}, {0, 1, 2, 3, 4}])
def test_missing_blocks_are_told_with_their_frames(lost: set[int], sizes: list[int]) -> None:
    events = read(joined([block for i, block in enumerate(BLOCKS) if i not in lost]), sizes)
    check_reading(events, HEADER, CODES)
    assert set(good_blocks(events)) == set(range(5)) - lost
    assert sum(event.frames for event in damaged(events)) == sum(2 if i == 4 else 4 for i in lost)
    assert sum(event.blocks for event in damaged(events)) == len(lost)
    assert {event.reason for event in damaged(events)} == {"missing"}
    assert end_of(events) == StreamEnd(NUM_SAMPLES, None)


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
@pytest.mark.parametrize("removed", range(1, 15))
def test_bytes_cut_out_cost_the_block_they_were_in(removed: int, sizes: list[int]) -> None:
    for at in range(len(BLOCKS[2]) - removed):
        short = BLOCKS[2][:at] + BLOCKS[2][at + removed :]
        events = read(joined([*BLOCKS[:2], short, *BLOCKS[3:]]), sizes)
        check_reading(events, HEADER, CODES)
        assert sorted(good_blocks(events)) == [0, 1, 3, 4]
        assert damaged(events) == [BlockDamaged(2, 4, "damaged", 1)]


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
@pytest.mark.parametrize(
    "foreign",
    [
        b"x",
        SYNC,
        SYNC[:1],
        bytes(1000),
        SYNC * 500,
        BLOCKS[0],
        BLOCKS[1],
        BLOCKS[2][:-1],
        b"".join(small_stream(model_id=b"another!")[1]),
        b"".join(PARTS[:3]),
    ],
)
def test_foreign_bytes_are_told_and_passed_over(foreign: bytes, sizes: list[int]) -> None:
    events = read(joined([*BLOCKS[:2], foreign, *BLOCKS[2:]]), sizes)
    check_reading(events, HEADER, CODES)
    assert len(good_blocks(events)) == 5
    assert damaged(events) == [BlockDamaged(2, 0, f"{len(foreign)} bytes that belong to no block", 0)]
    assert end_of(events) == StreamEnd(NUM_SAMPLES, None)


def test_blocks_of_a_stream_with_another_header_do_not_pass() -> None:
    _, other = small_stream(model_id=b"another!")
    events = read(joined([*BLOCKS[:2], other[3], *BLOCKS[3:]]))
    check_reading(events, HEADER, CODES)
    assert damaged(events) == [BlockDamaged(2, 4, "damaged", 1)]


def test_swapped_and_repeated_blocks_do_not_shift_the_clock() -> None:
    zero, one, two, three, four = BLOCKS
    events = read(joined([zero, two, one, one, three, three, four]))
    check_reading(events, HEADER, CODES)
    assert sorted(good_blocks(events)) == [0, 2, 3, 4]
    assert end_of(events) == StreamEnd(NUM_SAMPLES, None)


def test_a_damaged_last_block_without_a_footer_leaves_the_blocks_before_it() -> None:
    events = read(joined([*BLOCKS[:4], spoilt(BLOCKS[4])], b""))
    check_reading(events, HEADER, CODES)
    assert sorted(good_blocks(events)) == [0, 1, 2, 3]
    assert end_of(events).num_samples is None


def test_zeros_up_to_the_end_count_as_the_blocks_they_replace() -> None:
    codes = random_codes(HEADER, 400, 0)
    parts = write_parts(HEADER, codes, 400 * 320)
    data = b"".join(parts[:31])
    events = read(data + bytes(len(b"".join(parts)) - len(data)), LIVE)
    check_reading(events, HEADER, codes)
    assert damaged(events) == [BlockDamaged(30, 280, "damaged", 70)]
    assert end_of(events).num_samples is None


def test_a_long_damaged_span_keeps_the_clock() -> None:
    head = header(block_frames=1)
    codes = random_codes(head, 150_000, 0)
    parts = write_parts(head, codes, 150_000 * 320)
    at = len(parts[0]) + 1000 * len(parts[1]) + 5
    data = bytearray(b"".join(parts))
    data[at : at + 130_000 * len(parts[1])] = bytes(130_000 * len(parts[1]))
    events = read(bytes(data), [1 << 16])
    check_reading(events, head, codes)
    assert damaged(events) == [BlockDamaged(1000, 130_001, "damaged", 130_001)]
    assert len(good_blocks(events)) == 19_999
    assert end_of(events) == StreamEnd(150_000 * 320, None)


def test_a_leap_without_bytes_is_believed_within_bounds() -> None:
    near = encode_unit(65536 // 4, 4, BLOCKS[0][7:-4], HEADER.crc)
    assert damaged(read(PARTS[0] + near)) == [BlockDamaged(0, 65536, "missing", 65536 // 4)]
    far = encode_unit(65536 // 4 + 1, 4, BLOCKS[0][7:-4], HEADER.crc)
    events = read(PARTS[0] + far)
    assert damaged(events) == []
    assert good_blocks(events) == {}


def test_a_block_longer_than_the_header_allows_is_not_taken() -> None:
    long = encode_unit(0, 5, bytes(7), HEADER.crc)
    events = read(joined([long, *BLOCKS[1:]]))
    check_reading(events, HEADER, CODES)
    assert damaged(events) == [BlockDamaged(0, 4, "damaged", 1)]


@pytest.mark.parametrize(
    ("num_blocks", "num_frames"),
    [(5, 17), (5, 19), (4, 16), (4, 18), (6, 18), (6, 40), (0, 0), (5, 10**15), (10**6, 3_999_998)],
)
def test_a_footer_that_contradicts_the_blocks_is_told(num_blocks: int, num_frames: int) -> None:
    events = read(joined(BLOCKS, encode_footer(num_blocks, num_frames, 1, HEADER.crc)))
    check_reading(events, HEADER, CODES)
    assert len(events) == 7
    assert end_of(events) == StreamEnd(None, f"the footer states {num_frames} frames and the blocks hold 18")


@pytest.mark.parametrize("num_samples", [19 * 320, 10**15, 2**64 - 1])
def test_a_length_that_the_blocks_cannot_hold_is_told(num_samples: int) -> None:
    events = read(joined(BLOCKS, encode_footer(5, NUM_FRAMES, num_samples, HEADER.crc)))
    check_reading(events, HEADER, CODES)
    assert end_of(events) == StreamEnd(None, f"the footer states {num_samples} samples for 18 frames")


def test_bytes_after_the_footer_are_told_and_the_length_stands() -> None:
    for sizes in ([1 << 30], LIVE):
        events = read(joined(BLOCKS) + b"".join(PARTS), sizes)
        check_reading(events, HEADER, CODES)
        assert len(events) == 7
        ignored = f"{len(b''.join(PARTS))} bytes after the footer were ignored"
        assert end_of(events) == StreamEnd(NUM_SAMPLES, ignored)
    both = end_of(read(joined(BLOCKS, encode_footer(0, 0, 0, HEADER.crc)) + b"!"))
    assert both == StreamEnd(
        None, "the footer states 0 frames and the blocks hold 18; 1 bytes after the footer were ignored"
    )


def test_a_payload_that_no_writer_makes_is_damage() -> None:
    payload = bytearray(BLOCKS[4][7:-4])
    payload[-1] |= 1
    crafted = encode_unit(4, 2, bytes(payload), HEADER.crc)
    events = read(joined([*BLOCKS[:4], crafted]))
    check_reading(events, HEADER, CODES)
    assert damaged(events) == [BlockDamaged(4, 2, "the bits after the last code are not zero", 1)]
    assert end_of(events) == StreamEnd(NUM_SAMPLES, None)


def counterfeit(block_frames: int) -> bytes:
    """A block head that would be believed, if only the checksum held."""
    return struct.pack(">2sBHH", SYNC, 0, 0, block_frames)


@pytest.mark.parametrize("fake", ["sync words", "block heads"])
def test_a_megabyte_of_counterfeits_costs_linear_work(fake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = header(num_codebooks=20, bits_per_code=10, block_frames=500)
    codes = random_codes(head, 5 * 500, 0)
    parts = write_parts(head, codes, 5 * 500 * 320)
    piece = SYNC if fake == "sync words" else counterfeit(500)
    junk = piece * ((1 << 20) // len(piece))
    checked = 0

    def counting(data: bytes, start: int = 0) -> int:
        nonlocal checked
        checked += len(data)
        return zlib.crc32(data, start)

    monkeypatch.setattr("codec.bitstream.units.crc32", counting)
    data = parts[0] + junk + b"".join(parts[1:])
    events = read(data, [4096])
    assert checked < 4 * len(data)
    check_reading(events, head, codes)
    assert len(good_blocks(events)) >= 4
    assert end_of(events) == StreamEnd(5 * 500 * 320, None)


def test_memory_is_bounded_whatever_arrives() -> None:
    head = header(channels=32, num_codebooks=32, bits_per_code=16, block_frames=1000)
    reader = ContainerReader()
    reader.push(head.to_bytes())
    junk = np.random.default_rng(0).bytes(1 << 16)
    tracemalloc.start()
    for piece in [counterfeit(1000), *([junk] * 256)]:
        assert reader.push(piece) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20


def test_a_header_alone_allocates_nothing_of_what_it_claims() -> None:
    head = header(channels=32, num_codebooks=32, bits_per_code=16, block_frames=1024)
    tracemalloc.start()
    assert ContainerReader().push(head.to_bytes() + counterfeit(1024)) == [HeaderRead(head)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 16


def test_a_damaged_block_is_told_as_soon_as_the_next_one_is_whole() -> None:
    reader = ContainerReader()
    reader.push(PARTS[0])
    assert reader.push(spoilt(BLOCKS[0])) == []
    damage, block = reader.push(BLOCKS[1])
    assert damage == BlockDamaged(0, 4, "damaged", 1)
    assert isinstance(block, BlockRead)


def test_checksums_go_on_from_the_header() -> None:
    body = PARTS[0][:-4]
    for part in PARTS[1:]:
        assert int.from_bytes(part[-4:]) == crc32(body + part[:-4])
