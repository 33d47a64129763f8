"""Small streams for the tests of the bitstream, and the properties that every reading of one must have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from codec.bitstream import (
    BlockRead,
    ContainerReader,
    ContainerWriter,
    Event,
    HeaderRead,
    Lost,
    MetadataRead,
    StreamEnd,
    StreamHeader,
)

HEADER = StreamHeader(
    model_name="tiny",
    model_id=bytes(range(8)),
    sample_rate=16000,
    channels=1,
    coded_rate=16000,
    hop=320,
    num_codebooks=2,
    bits_per_code=5,
    block_frames=4,
)
NUM_FRAMES = 18
NUM_SAMPLES = 17 * 320 + 7
HASH = b"hash1234"


def header(**fields: object) -> StreamHeader:
    """The small header with some fields changed."""
    return replace(HEADER, **fields)  # type: ignore[arg-type]


def random_payloads(head: StreamHeader, num_frames: int, seed: int) -> list[bytes]:
    """Payloads of any size for the blocks of so many frames; a container knows nothing of what they hold."""
    rng = np.random.default_rng(seed)
    blocks = -(-num_frames // head.block_frames)
    return [rng.bytes(int(rng.integers(1, head.max_payload_bytes + 1))) for _ in range(blocks)]


def write_parts(
    head: StreamHeader, payloads: Sequence[bytes], num_frames: int, num_samples: int
) -> list[bytes]:
    """Header, every block, footer."""
    writer = ContainerWriter(head)
    parts = writer.start()
    for index, payload in enumerate(payloads):
        position = index * head.block_frames
        parts += writer.block(position, payload, min(head.block_frames, num_frames - position))
    return parts + writer.finish(num_samples, HASH)


def small_stream(seed: int = 0, **fields: object) -> tuple[list[bytes], list[bytes]]:
    """Payloads of 18 frames and their stream in parts: header, five blocks (the last of 2 frames), footer."""
    head = header(**fields)
    payloads = random_payloads(head, NUM_FRAMES, seed)
    return payloads, write_parts(head, payloads, NUM_FRAMES, NUM_SAMPLES)


def pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Data cut into pieces whose sizes repeat."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def read(
    data: bytes, sizes: Sequence[int] = (1 << 30,), name: str = "stream", head: StreamHeader | None = None
) -> list[Event]:
    """All events of a stream that arrives in pieces."""
    reader = ContainerReader(name, head)
    events = [event for piece in pieces(data, sizes) for event in reader.push(piece)]
    events += reader.finish()
    assert reader.payload_bytes + reader.container_bytes + reader.skipped_bytes == len(data)
    return events


def good_blocks(events: Sequence[Event], head: StreamHeader = HEADER) -> dict[int, bytes]:
    """Payloads by block index."""
    return {
        event.position // head.block_frames: event.payload for event in events if isinstance(event, BlockRead)
    }


def lost(events: Sequence[Event]) -> list[Lost]:
    """The damage that was told."""
    return [event for event in events if isinstance(event, Lost)]


def end_of(events: Sequence[Event]) -> StreamEnd:
    """The last event, which must be the end."""
    assert isinstance(events[-1], StreamEnd)
    return events[-1]


def check_reading(events: Sequence[Event], head: StreamHeader, payloads: Sequence[bytes]) -> None:
    """Asserts what holds for every reading, however damaged: order, a true clock, true payloads."""
    assert events[0] == HeaderRead(head)
    clock = 0
    for event in events[1:-1]:
        if isinstance(event, MetadataRead):
            continue
        assert isinstance(event, BlockRead | Lost)
        assert event.position == clock
        if isinstance(event, BlockRead):
            assert event.payload == payloads[clock // head.block_frames]
            clock += head.block_frames
        else:
            clock += event.frames
    end = end_of(events)
    assert clock - head.block_frames < end.num_frames <= clock
