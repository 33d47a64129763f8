from __future__ import annotations

import random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import (
    BlockRead,
    Event,
    HeaderRead,
    Lost,
    PacketReader,
    PacketWriter,
    StreamEnd,
    StreamHeader,
)
from codec.bitstream.crc8 import salted_crc8
from codec.bitstream.packets import PacketCounts
from codec.errors import CodecError, UsageError
from tests.bitstream.streams import HASH, HEADER, header, lost

LIVE = header(block_frames=1, num_codebooks=10, bits_per_code=10)


def sent(head: StreamHeader = LIVE, blocks: int = 120) -> list[bytes]:
    """All packets of a stream whose payloads are the numbers of their blocks."""
    writer = PacketWriter(head)
    packets = writer.start()
    for index in range(blocks):
        packets += writer.block(index * head.block_frames, payload(index), head.block_frames)
    packets += writer.finish(blocks * head.block_frames * 320, HASH)
    assert writer.payload_bytes + writer.container_bytes == sum(map(len, packets))
    return packets


def payload(index: int) -> bytes:
    return index.to_bytes(4) * 3


def data_packets(count: int, head: StreamHeader = LIVE, first: int = 0) -> list[bytes]:
    """Data packets alone."""
    writer = PacketWriter(head)
    writer.start()
    packets = [
        writer.block(index * head.block_frames, payload(index), head.block_frames)[-1]
        for index in range(first, first + count)
    ]
    assert all(len(packet) == 3 + 12 for packet in packets)
    return packets


def received(packets: list[bytes]) -> tuple[list[Event], PacketReader]:
    """All events of packets that arrive in this order."""
    reader = PacketReader()
    events = [event for packet in packets for event in reader.push(packet)]
    events += reader.finish()
    assert reader.payload_bytes + reader.container_bytes + reader.skipped_bytes == sum(map(len, packets))
    return events, reader


def played(events: list[Event]) -> list[int]:
    """The numbers of the blocks that were read."""
    return [int.from_bytes(event.payload[:4]) for event in events if isinstance(event, BlockRead)]


def check_clock(events: list[Event], head: StreamHeader = LIVE) -> None:
    """Asserts that every block lies where it was sent, and that gaps fill what lies between."""
    clock = None
    for event in events:
        if isinstance(event, BlockRead):
            assert event.position == int.from_bytes(event.payload[:4]) * head.block_frames
            assert clock in (None, event.position)
            clock = event.position + head.block_frames
        elif isinstance(event, Lost):
            assert clock == event.position
            clock = event.position + event.frames if event.frames else None


SETUP, END = LIVE.to_bytes(), sent()[-1]
DATA = data_packets(1000)


@pytest.mark.parametrize("frames", [1, 3, 50, 60])
def test_the_set_up_packet_comes_each_second(frames: int) -> None:
    head = header(block_frames=frames, num_codebooks=10, bits_per_code=10)
    packets = sent(head, 600 // frames)
    places = [i for i, packet in enumerate(packets) if packet == head.to_bytes()]
    data = [sum(packet != head.to_bytes() for packet in packets[:place]) for place in places]
    a_second = -(-50 // frames)
    assert data == list(range(0, 600 // frames, a_second))
    events, reader = received(packets)
    assert events[0] == HeaderRead(head)
    assert played(events) == list(range(600 // frames))
    check_clock(events, head)
    assert events[-1] == StreamEnd(600 // frames * frames, 600 // frames * frames * 320, HASH, None)
    assert reader.dropped == PacketCounts()


def test_the_layout_is_the_documented_one() -> None:
    salt = LIVE.crc
    assert DATA[258] == b"\x01\x02" + bytes([salted_crc8(b"\x01\x02" + payload(258), salt)]) + payload(258)
    body = b"\x8eNAE" + (120).to_bytes(8) + (120 * 320).to_bytes(8) + HASH
    assert body + crc32(body, salt).to_bytes(4) == END


def test_lost_packets_are_told_with_the_next() -> None:
    events, _ = received([SETUP, *DATA[:10], *DATA[13:15], DATA[16], END])
    check_clock(events)
    assert lost(events) == [Lost(10, 3, "missing"), Lost(15, 1, "missing"), Lost(17, 103, "missing")]
    assert events[-1] == StreamEnd(120, 120 * 320, HASH, None)


def test_late_and_doubled_packets_are_dropped() -> None:
    events, reader = received([SETUP, *DATA[:5], DATA[4], DATA[6], DATA[5], *DATA[:8], *DATA[2:9]])
    check_clock(events)
    assert played(events) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert lost(events) == [Lost(5, 1, "missing")]
    assert reader.dropped == PacketCounts(late=2 + 7 + 6)
    assert events[-1] == StreamEnd(9, None, None, "the end packet is missing")


@given(st.randoms(use_true_random=False), st.integers(0, 30))
def test_whatever_the_network_does_the_clock_is_true(rng: random.Random, jitter: int) -> None:
    packets = [packet for packet in [SETUP, *DATA[:200]] for _ in range(rng.choice([0, 1, 1, 1, 2]))]
    packets.sort(key=lambda packet: int.from_bytes(packet[:2]) + rng.uniform(0, jitter))
    events, reader = received([SETUP, *packets])
    check_clock(events)
    assert played(events) == sorted(set(played(events)))
    assert reader.dropped.foreign == reader.dropped.waiting == 0


def test_who_joins_late_starts_on_the_clock() -> None:
    events, reader = received([*DATA[300:310], SETUP, *DATA[310:320], SETUP])
    check_clock(events)
    assert played(events) == list(range(310, 320))
    assert lost(events) == []
    assert reader.dropped == PacketCounts(early=10)


def test_packets_of_other_streams_are_dropped() -> None:
    other = header(block_frames=1, num_codebooks=10, bits_per_code=10, model_id=b"another!")
    newer = bytearray(SETUP[:-4])
    newer[4] = 2
    newer += crc32(newer).to_bytes(4)
    foreign = sent(other, 3)
    strays = [
        other.to_bytes(),
        *foreign[1:],
        bytes(newer),
        b"",
        b"x",
        b"abc",
        bytes(1500),
        SETUP[:-1],
        END[:-1],
        DATA[10] + bytes(100),
    ]
    packets = [SETUP, *DATA[:10], *strays, *DATA[10:20]]
    events, reader = received(packets)
    check_clock(events)
    assert played(events) == list(range(20))
    assert reader.dropped.foreign + reader.dropped.waiting == len(strays)


def test_any_flipped_byte_costs_its_packet_alone() -> None:
    for victim in (SETUP, DATA[5], END):
        for at in range(len(victim)):
            for mask in range(1, 256):
                flipped = victim[:at] + bytes([victim[at] ^ mask]) + victim[at + 1 :]
                after = DATA[6:8] if victim == DATA[5] else DATA[5:8]
                events, reader = received([SETUP, *DATA[:5], flipped, *after])
                check_clock(events)
                assert len(played(events)) == 5 + len(after)
                assert reader.dropped == PacketCounts(foreign=1)


def test_a_damaged_set_up_packet_is_refused_and_the_next_one_taken() -> None:
    reader = PacketReader("the call")
    newer = bytearray(SETUP[:-4])
    newer[4] = 2
    for packet, message in [
        (SETUP[:20], "damaged header: wait for the next"),
        (SETUP + b"x", "damaged header: wait for the next"),
        (SETUP[:-1] + b"?", "damaged header"),
        (bytes(newer) + crc32(newer).to_bytes(4), "version 2 and this program reads 1: update codec"),
    ]:
        with pytest.raises(CodecError, match=f"the call .*{message}"):
            reader.push(packet)
    assert reader.push(SETUP) == [HeaderRead(LIVE)]
    assert reader.dropped == PacketCounts(foreign=4)


@given(st.randoms(use_true_random=False))
def test_junk_among_packets_is_read_without_an_error(rng: random.Random) -> None:
    packets = [SETUP]
    for packet in [*DATA[:60], END]:
        junk = bytearray(rng.choice([packet, rng.randbytes(rng.randrange(40)), END, SETUP]))
        for _ in range(rng.randrange(4) if junk else 0):
            junk[rng.randrange(len(junk))] = rng.randrange(256)
        packets += [packet, bytes(junk)][: rng.choice([1, 2, 2])]
    events, _ = received(packets)
    clock = 0
    for event in events:
        if isinstance(event, BlockRead | Lost):
            assert event.position >= clock
            clock = event.position + (event.frames if isinstance(event, Lost) else 1)
    assert isinstance(events[-1], StreamEnd)


def test_numbers_wrap() -> None:
    packets = [SETUP, *data_packets(10, first=65530)]
    assert packets[7][:2] == b"\0\0"
    events, _ = received(packets)
    assert played(events) == list(range(65530, 65540))
    check_clock(events)


@pytest.mark.parametrize(("frames", "ahead", "gap"), [(1, 40_000, 0), (10, 4000, 39_990), (500, 100, 49_500)])
def test_packets_from_the_future_count_once_three_agree(frames: int, ahead: int, gap: int) -> None:
    head = header(block_frames=frames, num_codebooks=10, bits_per_code=10)
    now, future = data_packets(3, head), data_packets(6, head, first=ahead)
    events, reader = received([head.to_bytes(), *now[:2], future[0], future[1], now[2]])
    assert played(events) == [0, 1, 2]
    assert reader.dropped == PacketCounts(waiting=2)
    events, reader = received([head.to_bytes(), *now, future[3], *future[:2], future[4], *future[2:]])
    check_clock(events, head)
    assert played(events) == [0, 1, 2, *range(ahead + 2, ahead + 6)]
    assert [event.frames for event in lost(events)] == [gap]
    assert reader.dropped == PacketCounts(waiting=4)


def test_an_outage_ends_with_the_third_packet() -> None:
    for outage in (300, 30_000, 40_000, 60_000, 65_000, 66_000, 100_000, 1_000_000):
        packets = [SETUP, *DATA[:100], *data_packets(400, first=100 + outage)]
        events, _ = received(packets)
        heard = played(events)[100:]
        assert heard == list(range(100 + outage + 400 - len(heard), 100 + outage + 400))
        assert len(heard) >= 400 - 256
        (gap,) = lost(events)
        if outage <= 32_000:
            assert gap == Lost(100, outage, "missing")
            check_clock(events)


def test_a_restarted_sender_is_heard_again() -> None:
    events, reader = received([SETUP, *DATA, *DATA[:20]])
    assert played(events) == [*range(1000), *range(20)]
    (leap,) = lost(events)
    assert (leap.frames, reader.dropped) == (0, PacketCounts())
    assert "set anew" in leap.reason
    shortly = [SETUP, *DATA[:100], *DATA]
    assert played(received(shortly)[0]) == list(range(1000))


def test_a_stray_first_packet_does_not_silence_the_stream() -> None:
    events, reader = received([SETUP, data_packets(1, first=50_000)[0], *DATA[:10]])
    assert played(events)[1:] == list(range(10))
    assert reader.dropped == PacketCounts()


def test_an_end_that_contradicts_the_packets_is_told() -> None:
    writer = PacketWriter(LIVE)
    writer.start()
    early = writer.finish(0, HASH)[0]
    events, _ = received([SETUP, *DATA[:10], early, *DATA[10:12]])
    assert played(events) == list(range(10))
    reason = "the end packet states 0 frames, and the clock stands at 10"
    assert events[-1] == StreamEnd(10, None, None, reason)
    far = PacketWriter(LIVE)
    far.start()
    far.block(10**9, b"x", 1)
    events, _ = received([SETUP, *DATA[:10], *far.finish(0, HASH)])
    assert lost(events) == []
    assert events[-1].num_samples is None  # type: ignore[union-attr]


def test_nothing_is_played_after_the_end() -> None:
    events, reader = received([SETUP, *DATA[:120], END, END, SETUP, *DATA[120:125]])
    assert played(events) == list(range(120))
    assert reader.dropped == PacketCounts(late=6)


def test_the_order_of_calls_is_kept() -> None:
    with pytest.raises(CodecError, match="the call sent no set-up packet: listen"):
        PacketReader("the call").finish()
    reader = PacketReader()
    reader.push(SETUP)
    reader.finish()
    for late in (reader.finish, lambda: reader.push(SETUP)):
        with pytest.raises(UsageError):
            late()
    writer = PacketWriter(LIVE)
    with pytest.raises(UsageError, match="follow the header"):
        writer.block(0, b"x", 1)


def test_only_the_last_packet_may_be_short() -> None:
    writer = PacketWriter(HEADER)
    packets = writer.start() + writer.block(0, b"x", 4) + writer.block(4, b"y", 1)
    with pytest.raises(UsageError, match="last block"):
        writer.block(8, b"z", 4)
    events, _ = received(packets + writer.finish(5 * 320, HASH))
    assert events[-1] == StreamEnd(5, 5 * 320, HASH, None)
    assert lost(events) == []
