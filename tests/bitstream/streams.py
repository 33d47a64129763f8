"""Small streams for the tests of the bitstream, and the properties that every reading of one must have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from codec.bitstream import (
    BlockDamaged,
    BlockRead,
    Codes,
    ContainerReader,
    ContainerWriter,
    Event,
    HeaderRead,
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


def header(**fields: object) -> StreamHeader:
    """The small header with some fields changed."""
    return replace(HEADER, **fields)  # type: ignore[arg-type]


def random_codes(head: StreamHeader, num_frames: int, seed: int) -> Codes:
    """Codes [C, M, F] for a header."""
    shape = (head.channels, head.num_codebooks, num_frames)
    return np.random.default_rng(seed).integers(0, 1 << head.bits_per_code, shape)


def blocks_of(head: StreamHeader, codes: Codes) -> list[Codes]:
    """Codes [C, M, F] cut as a writer cuts them."""
    return [codes[:, :, i : i + head.block_frames] for i in range(0, codes.shape[2], head.block_frames)]


def write_parts(head: StreamHeader, codes: Codes, num_samples: int) -> list[bytes]:
    """Header, every block, footer."""
    writer = ContainerWriter(head)
    blocks = [writer.start(), *map(writer.block, blocks_of(head, codes))]
    return [*blocks, writer.finish(num_samples)]


def small_stream(seed: int = 0, **fields: object) -> tuple[Codes, list[bytes]]:
    """Codes of 18 frames and their stream in parts: header, five blocks (the last of 2 frames), footer."""
    head = header(**fields)
    codes = random_codes(head, NUM_FRAMES, seed)
    return codes, write_parts(head, codes, NUM_SAMPLES)


def pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Data cut into pieces whose sizes repeat."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def read(data: bytes, sizes: Sequence[int] = (1 << 30,), name: str = "stream") -> list[Event]:
    """All events of a stream that arrives in pieces."""
    reader = ContainerReader(name)
    events = [event for piece in pieces(data, sizes) for event in reader.push(piece)]
    events += reader.finish()
    assert reader.payload_bytes + reader.container_bytes + reader.skipped_bytes == len(data)
    return events


def good_blocks(events: Sequence[Event]) -> dict[int, Codes]:
    """Codes by block index."""
    return {event.index: event.codes for event in events if isinstance(event, BlockRead)}


def damaged(events: Sequence[Event]) -> list[BlockDamaged]:
    """The damage that was told."""
    return [event for event in events if isinstance(event, BlockDamaged)]


def end_of(events: Sequence[Event]) -> StreamEnd:
    """The last event, which must be the end."""
    assert isinstance(events[-1], StreamEnd)
    return events[-1]


def check_reading(events: Sequence[Event], head: StreamHeader, codes: Codes) -> None:
    """Asserts what holds for every reading, however damaged: order, a true clock, true codes."""
    assert events[0] == HeaderRead(head)
    assert isinstance(events[-1], StreamEnd)
    written = blocks_of(head, codes)
    index = clock = 0
    for event in events[1:-1]:
        assert isinstance(event, BlockRead | BlockDamaged)
        assert event.index == index
        if isinstance(event, BlockRead):
            assert clock == index * head.block_frames
            np.testing.assert_array_equal(event.codes, written[index])
            assert event.codes.dtype == np.int64
            index, clock = index + 1, clock + event.codes.shape[2]
        else:
            index, clock = index + event.blocks, clock + event.frames
