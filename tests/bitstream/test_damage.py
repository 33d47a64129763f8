from __future__ import annotations

import time
import tracemalloc
import zlib
from zlib import crc32

import numpy as np
import pytest

from codec.bitstream import BlockRead, ContainerReader, HeaderRead, Lost, MetadataRead, StreamEnd
from codec.bitstream.crc8 import salted_crc8
from codec.bitstream.footer import Footer, encode_footer
from codec.bitstream.metadata import encode_metadata
from codec.bitstream.units import FOOTER, METADATA, SYNC, encode_block, encode_unit
from tests.bitstream.streams import (
    HASH,
    HEADER,
    NUM_FRAMES,
    NUM_SAMPLES,
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

PAYLOADS, PARTS = small_stream()
BLOCKS = PARTS[1:-1]
LIVE = [1, 3, 7]
WHOLE = StreamEnd(NUM_FRAMES, NUM_SAMPLES, HASH, None)
CUT = "the footer is missing or damaged: the stream may be cut"


def joined(blocks: list[bytes], footer: bytes = PARTS[-1]) -> bytes:
    """A stream of the small header with other blocks or another footer."""
    return PARTS[0] + b"".join(blocks) + footer


def footer(num_frames: int, num_samples: int) -> bytes:
    """A footer of the small stream that states something else."""
    return encode_footer(Footer(num_frames, num_samples, HASH, HEADER.to_bytes()), HEADER.crc)


def spoilt(block: bytes, at: int = 9) -> bytes:
    """A block with one byte changed."""
    return block[:at] + bytes([block[at] ^ 0x55]) + block[at + 1 :]


def test_any_flipped_byte_costs_its_own_block_alone() -> None:
    for number, block in enumerate(BLOCKS):
        for at in range(len(block)):
            for mask in range(1, 256):
                flipped = block[:at] + bytes([block[at] ^ mask]) + block[at + 1 :]
                events = read(joined([*BLOCKS[:number], flipped, *BLOCKS[number + 1 :]]))
                check_reading(events, HEADER, PAYLOADS)
                assert sorted(good_blocks(events)) == [i for i in range(5) if i != number]
                assert lost(events) == [Lost(4 * number, 4 if number < 4 else 2, "damaged")]
                assert end_of(events) == WHOLE


def test_any_flipped_byte_of_the_footer_costs_the_length_alone() -> None:
    last = PARTS[-1]
    for at in range(len(last)):
        for mask in range(1, 256):
            events = read(joined(BLOCKS, last[:at] + bytes([last[at] ^ mask]) + last[at + 1 :]))
            check_reading(events, HEADER, PAYLOADS)
            assert len(good_blocks(events)) == 5
            assert lost(events) == []
            assert end_of(events) == StreamEnd(20, None, None, CUT)


@pytest.mark.parametrize("sizes", [[1 << 30], [1]])
def test_a_cut_anywhere_leaves_the_whole_blocks(sizes: list[int]) -> None:
    whole = b"".join(PARTS)
    ends = np.cumsum([len(part) for part in PARTS])
    for cut in range(len(PARTS[0]), len(whole)):
        events = read(whole[:cut], sizes)
        check_reading(events, HEADER, PAYLOADS)
        blocks = int((ends[1:-1] <= cut).sum())
        assert sorted(good_blocks(events)) == list(range(blocks))
        assert lost(events) == []
        assert end_of(events) == StreamEnd(4 * blocks, None, None, CUT)


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
@pytest.mark.parametrize("gone", [{0}, {2}, {4}, {0, 1}, {3, 4}, {1, 3}, {0, 1, 2, 3, 4}])
def test_missing_blocks_are_told_with_their_frames(gone: set[int], sizes: list[int]) -> None:
    events = read(joined([block for i, block in enumerate(BLOCKS) if i not in gone]), sizes)
    check_reading(events, HEADER, PAYLOADS)
    assert set(good_blocks(events)) == set(range(5)) - gone
    assert sum(event.frames for event in lost(events)) == sum(2 if i == 4 else 4 for i in gone)
    assert {event.reason for event in lost(events)} == {"missing"}
    assert end_of(events) == WHOLE


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
@pytest.mark.parametrize("removed", range(1, 13))
def test_bytes_cut_out_cost_the_block_they_were_in(removed: int, sizes: list[int]) -> None:
    for at in range(len(BLOCKS[2]) - removed):
        short = BLOCKS[2][:at] + BLOCKS[2][at + removed :]
        events = read(joined([*BLOCKS[:2], short, *BLOCKS[3:]]), sizes)
        check_reading(events, HEADER, PAYLOADS)
        assert sorted(good_blocks(events)) == [0, 1, 3, 4]
        assert lost(events) == [Lost(8, 4, "damaged")]


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
        encode_block(9, b"between the blocks", HEADER.crc),
    ],
)
def test_foreign_bytes_are_told_and_passed_over(foreign: bytes, sizes: list[int]) -> None:
    events = read(joined([*BLOCKS[:2], foreign, *BLOCKS[2:]]), sizes)
    check_reading(events, HEADER, PAYLOADS)
    assert len(good_blocks(events)) == 5
    assert lost(events) == [Lost(8, 0, f"{len(foreign)} bytes that belong to no block")]
    assert end_of(events) == WHOLE


def test_blocks_of_a_stream_with_another_header_do_not_pass() -> None:
    _, other = small_stream(model_id=b"another!")
    events = read(joined([*BLOCKS[:2], other[3], *BLOCKS[3:]]))
    check_reading(events, HEADER, PAYLOADS)
    assert lost(events) == [Lost(8, 4, "damaged")]


def test_swapped_and_repeated_blocks_do_not_shift_the_clock() -> None:
    zero, one, two, three, four = BLOCKS
    events = read(joined([zero, two, one, one, three, three, zero, one, two, three, four]))
    check_reading(events, HEADER, PAYLOADS)
    assert sorted(good_blocks(events)) == [0, 2, 3, 4]
    assert end_of(events) == WHOLE


def test_a_damaged_last_block_without_a_footer_leaves_the_blocks_before_it() -> None:
    events = read(joined([*BLOCKS[:4], spoilt(BLOCKS[4])], b""))
    check_reading(events, HEADER, PAYLOADS)
    assert sorted(good_blocks(events)) == [0, 1, 2, 3]
    assert end_of(events) == StreamEnd(16, None, None, CUT)


def test_a_long_damaged_span_keeps_the_clock() -> None:
    head = header(block_frames=1)
    payloads = random_payloads(head, 150_000, 0)
    parts = write_parts(head, payloads, 150_000, 150_000 * 320)
    start = len(b"".join(parts[:1001])) + 5
    end = start + len(b"".join(parts[1001:131_001]))
    data = bytearray(b"".join(parts))
    data[start:end] = bytes(end - start)
    events = read(bytes(data), [1 << 16])
    check_reading(events, head, payloads)
    (gap,) = lost(events)
    assert (gap.position, gap.reason) == (1000, "damaged")
    assert 130_000 <= gap.frames <= 130_001
    assert end_of(events) == StreamEnd(150_000, 150_000 * 320, HASH, None)


def test_a_gap_that_no_bytes_stand_for_is_believed_within_bounds() -> None:
    near = encode_block(65536, b"near", HEADER.crc)
    assert lost(read(PARTS[0] + near)) == [Lost(0, 65536, "missing")]
    far = encode_block(65540, b"far", HEADER.crc)
    assert read(PARTS[0] + far) == [HeaderRead(HEADER), StreamEnd(0, None, None, CUT)]


@pytest.mark.parametrize("sizes", [[1 << 30], LIVE])
def test_three_blocks_that_agree_on_a_place_far_ahead_set_the_clock(sizes: list[int]) -> None:
    far = [encode_block(1_000_000 + 4 * i, bytes([i]), HEADER.crc) for i in range(5)]
    events = read(joined([BLOCKS[0], far[0], far[1], BLOCKS[1], *far], footer(1_000_018, 1)), sizes)
    assert [event.position for event in events if isinstance(event, BlockRead)] == [
        0,
        4,
        *range(1_000_000, 1_000_020, 4),
    ]
    stray, leap = lost(events)
    assert stray == Lost(4, 0, "26 bytes that belong to no block")
    assert (leap.position, leap.frames) == (8, 0)
    assert "leaps by 999992 frames" in leap.reason
    assert end_of(events) == StreamEnd(1_000_018, None, HASH, "the length is unknown, since the stream leaps")


def test_blocks_far_ahead_that_disagree_are_passed_over() -> None:
    far = [encode_block(1_000_000 + 8 * i, b"?", HEADER.crc) for i in range(40)]
    events = read(joined([*BLOCKS[:2], *far, *BLOCKS[2:]]))
    check_reading(events, HEADER, PAYLOADS)
    assert lost(events) == [Lost(8, 0, f"{40 * 13} bytes that belong to no block")]


def test_a_payload_longer_than_the_header_allows_is_not_taken() -> None:
    long = encode_block(0, bytes(HEADER.max_payload_bytes + 1), HEADER.crc)
    events = read(joined([long, *BLOCKS[1:]]))
    check_reading(events, HEADER, PAYLOADS)
    assert lost(events) == [Lost(0, 4, "damaged")]


@pytest.mark.parametrize("num_frames", [0, 4, 16, 10**6, 10**15, 2**64 - 1])
def test_a_footer_that_contradicts_the_blocks_is_told(num_frames: int) -> None:
    events = read(joined(BLOCKS, footer(num_frames, 1)))
    check_reading(events, HEADER, PAYLOADS)
    assert len(events) == 7
    reason = f"the footer states {num_frames} frames and the blocks hold 20"
    assert end_of(events) == StreamEnd(20, None, None, reason)


def test_a_footer_with_another_header_is_told() -> None:
    other = encode_footer(Footer(18, 1, HASH, header(hop=160).to_bytes()), HEADER.crc)
    for wrong in (other, encode_unit(FOOTER, b"", HEADER.crc), encode_unit(FOOTER, bytes(99), HEADER.crc)):
        end = end_of(read(joined(BLOCKS, wrong)))
        assert end == StreamEnd(20, None, None, "the footer contradicts the header")


@pytest.mark.parametrize("num_samples", [19 * 320, 10**15, 2**64 - 1])
def test_a_length_that_the_blocks_cannot_hold_is_told(num_samples: int) -> None:
    events = read(joined(BLOCKS, footer(18, num_samples)))
    check_reading(events, HEADER, PAYLOADS)
    reason = f"the footer states {num_samples} samples for 18 frames"
    assert end_of(events) == StreamEnd(18, None, HASH, reason)


def test_bytes_after_the_footer_are_told_and_the_length_stands() -> None:
    for sizes in ([1 << 30], LIVE):
        events = read(joined(BLOCKS) + b"".join(PARTS), sizes)
        check_reading(events, HEADER, PAYLOADS)
        assert len(events) == 7
        ignored = f"{len(b''.join(PARTS))} bytes after the footer were ignored"
        assert end_of(events) == StreamEnd(NUM_FRAMES, NUM_SAMPLES, HASH, ignored)
    both = end_of(read(joined(BLOCKS, footer(0, 0)) + b"!"))
    reason = "the footer states 0 frames and the blocks hold 20; 1 bytes after the footer were ignored"
    assert both == StreamEnd(20, None, None, reason)


def test_damaged_metadata_costs_the_tags_alone() -> None:
    tags = encode_unit(METADATA, encode_metadata([("title", "A walk")]), HEADER.crc)
    for at in range(len(tags)):
        events = read(joined([spoilt(tags, at), *BLOCKS]))
        check_reading(events, HEADER, PAYLOADS)
        assert lost(events) == [Lost(0, 0, f"{len(tags)} bytes that belong to no block")]
        assert end_of(events) == WHOLE
    broken = encode_unit(METADATA, b"\xff\xff", HEADER.crc)
    assert lost(read(joined([broken, *BLOCKS]))) == [Lost(0, 0, "a tag is longer than its metadata")]


def test_a_flood_of_tags_is_stemmed() -> None:
    tags = encode_unit(METADATA, encode_metadata([("k", "v" * 996)]), HEADER.crc)
    events = read(joined([tags * 200, *BLOCKS]))
    assert sum(isinstance(event, MetadataRead) for event in events) == 65
    assert events[-6:] == read(joined(BLOCKS))[-6:]


def test_units_of_a_later_kind_are_passed_over_in_silence() -> None:
    later = encode_unit(1234, b"something new", HEADER.crc)
    events = read(joined([later, *BLOCKS[:2], later, *BLOCKS[2:], later]))
    assert events == read(joined(BLOCKS))


def test_a_damaged_header_needs_to_be_known_from_elsewhere() -> None:
    for at in range(len(PARTS[0])):
        data = b"".join([spoilt(PARTS[0], at), *PARTS[1:]])
        events = read(data, LIVE, head=HEADER)
        check_reading(events, HEADER, PAYLOADS)
        assert lost(events) == [Lost(0, 0, f"{len(PARTS[0])} bytes that belong to no block")]
        assert len(good_blocks(events)) == 5
        assert end_of(events) == WHOLE


def counterfeit(length: int) -> bytes:
    """The head of a block that would be believed, if only the checksum of its payload held."""
    head = SYNC + bytes(3) + length.to_bytes(2)
    return head + bytes([salted_crc8(head, LARGE.crc)])


LARGE = header(num_codebooks=20, bits_per_code=10, block_frames=500)


@pytest.mark.parametrize("fake", ["sync words", "heads"])
def test_a_megabyte_of_counterfeits_costs_linear_work(fake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [np.random.default_rng(i).bytes(12501) for i in range(5)]
    parts = write_parts(LARGE, payloads, 2500, 5 * 500 * 320)
    piece = SYNC if fake == "sync words" else counterfeit(12501)
    junk = piece * ((1 << 20) // len(piece))
    checked = 0

    def counting(data: bytes, start: int = 0) -> int:
        nonlocal checked
        checked += len(data)
        return zlib.crc32(data, start)

    monkeypatch.setattr("codec.bitstream.units.crc32", counting)
    data = parts[0] + junk + b"".join(parts[1:])
    started = time.process_time()
    events = read(data, [4096])
    assert time.process_time() - started < 20
    assert checked < 5 * len(data)
    check_reading(events, LARGE, payloads)
    assert len(good_blocks(events, LARGE)) >= 4
    assert end_of(events).num_samples == 5 * 500 * 320


def test_memory_is_bounded_whatever_arrives() -> None:
    head = header(channels=32, num_codebooks=32, bits_per_code=16, block_frames=31)
    assert 60_000 < head.max_payload_bytes < 1 << 16
    reader = ContainerReader()
    reader.push(head.to_bytes())
    junk = np.random.default_rng(0).bytes(1 << 16)
    tracemalloc.start()
    for _ in range(256):
        assert reader.push(junk) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 19


def test_a_damaged_block_is_told_as_soon_as_the_next_one_is_whole() -> None:
    reader = ContainerReader()
    reader.push(PARTS[0])
    assert reader.push(spoilt(BLOCKS[0])) == []
    assert reader.push(BLOCKS[1]) == [Lost(0, 4, "damaged"), BlockRead(4, PAYLOADS[1])]


def test_checksums_go_on_from_the_header() -> None:
    body = PARTS[0][:-4]
    for part in PARTS[1:]:
        assert part[7] == salted_crc8(part[:7], crc32(body))
        assert int.from_bytes(part[8:12]) == crc32(body + part[:8] + part[12:])
