"""What a bitstream says of itself, summed up; most of it without its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from codec.bitstream import (
    FORMAT_VERSION,
    BlockRead,
    Codes,
    ContainerReader,
    Event,
    Lost,
    PayloadCoder,
    StreamEnd,
    StreamHeader,
)
from codec.bitstream.codes import codebooks_sent
from codec.cli.console import Console, count
from codec.cli.headers import REPAIRED, Opening
from codec.cli.reports import header_values
from codec.cli.streams import Input
from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.model import CodecModel

_READ_BYTES = 1 << 16


def inspect(stream: Input, opening: Opening, model: CodecModel | None, console: Console) -> dict[str, Any]:
    """Read a bitstream to its end.

    Args:
        stream: stands behind the opening.
        opening: what was read of it.
        model: its model, if that is at hand: where the number of codebooks varies, and the codes are entropy
            coded, its tables are needed to count them.
        console: is told of damage, and shows the progress.

    Returns:
        the values that `codec info` reports but for the latency; None where they are unknown.
    """
    reader = ContainerReader(stream.name, opening.known_header)
    contents = _Contents(opening.header, model, stream.name, console)
    if opening.repaired:
        console.warn(f"{stream.name}{REPAIRED}")
    size, data = 0, opening.data
    # Where the number of codebooks varies, the codes are decoded to count them, which takes its time.
    with console.progress(stream.name, stream.size) as advance:
        while data:
            size += len(data)
            contents.add(reader.push(data))
            advance(len(data))
            data = stream.read(_READ_BYTES)
    contents.add(reader.finish())
    samples, header = contents.samples, opening.header
    seconds = samples / header.sample_rate
    return {
        "input": stream.name,
        "format_version": FORMAT_VERSION,
        "samples": samples,
        **header_values(header, seconds),
        "codebooks_per_frame": contents.codebooks_per_frame,
        "bits_per_code": header.bits_per_code,
        "frame_rate": header.coded_rate / header.hop,
        "blocks": contents.blocks,
        "damaged_blocks": contents.damaged_blocks,
        "file_bytes": size,
        "raw_index_bits": contents.raw_index_bits,
        "payload_bits": 8 * reader.payload_bytes,
        "container_bits": 8 * reader.container_bytes,
        "damaged_bits": 8 * reader.skipped_bytes,
        "kbps": 8 * size / seconds / 1000 if seconds else None,
        "tags": _by_key(opening),
    }


def _by_key(opening: Opening) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for key, value in opening.tags:
        values.setdefault(key, []).append(value)
    return {key: "; ".join(texts) for key, texts in values.items()}


class _Contents:
    """What the events of a stream add up to.

    Attributes:
        blocks: how many there are, those that are lost included.
        damaged_blocks: how many of them are lost or hold no codes.
    """

    def __init__(self, header: StreamHeader, model: CodecModel | None, name: str, console: Console) -> None:
        self.blocks = 0
        self.damaged_blocks = 0
        self._header = header
        tables = model.entropy if model else None
        self._coder = PayloadCoder(
            header.num_codebooks, header.bits_per_code, header.block_frames, header.channels, tables
        )
        self._has_model = model is not None
        self._name = name
        self._console = console
        self._end: StreamEnd | None = None
        # Of the frames of all channels: how many there are, and of their numbers of codebooks sum and ends.
        self._frames, self._sum, self._least, self._most = 0, 0, header.num_codebooks, 0
        self._uncounted = False

    def add(self, events: list[Event]) -> None:
        """Take the next events."""
        for event in events:
            if isinstance(event, BlockRead):
                self.blocks += 1
                self._count(event)
            elif isinstance(event, Lost):
                self._lose(event)
            elif isinstance(event, StreamEnd):
                self._end = event
                if event.reason:
                    self._console.warn(f"{self._name}: {event.reason}")

    @property
    def samples(self) -> int:
        """Of a channel; what the frames stand for where no footer tells it."""
        assert self._end is not None  # finish() tells it last
        if self._end.num_samples is not None:
            return self._end.num_samples
        return self._end.num_frames * self._header.hop * self._header.sample_rate // self._header.coded_rate

    @property
    def codebooks_per_frame(self) -> dict[str, float] | None:
        """Mean, least and greatest number over frames and channels; None where not all could be counted."""
        if self._uncounted or not self._frames:
            return None
        return {"mean": self._sum / self._frames, "min": self._least, "max": self._most}

    @property
    def raw_index_bits(self) -> int | None:
        """What the codes take before entropy coding; None where not all could be counted."""
        return None if self._uncounted else self._sum * self._header.bits_per_code

    def _count(self, event: BlockRead) -> None:
        try:
            frames, constant = self._coder.peek(event.payload)
            n = self._counts(event.payload) if constant is None else np.full(1, constant)
        except CodecError as error:
            self.damaged_blocks += 1
            self._console.warn(f"{self._name}: block {event.position // self._header.block_frames}: {error}")
            return
        if n is None:
            self._uncounted = True
            return
        frames *= self._header.channels
        self._frames += frames
        self._sum += int(n.sum()) if constant is None else constant * frames
        self._least, self._most = min(self._least, int(n.min())), max(self._most, int(n.max()))

    def _counts(self, payload: bytes) -> Codes | None:
        """The number of codebooks of each frame; None where only the model's tables would tell."""
        try:
            return codebooks_sent(self._coder.unpack(payload))
        except CodecError:
            if self._has_model:
                raise
            return None

    def _lose(self, event: Lost) -> None:
        blocks = -(-event.frames // self._header.block_frames)
        self.blocks += blocks
        self.damaged_blocks += blocks
        place = event.position // self._header.block_frames
        what = f"{count(blocks, 'block')} from block {place} on: " if blocks else ""
        self._console.warn(f"{self._name}: {what}{event.reason}")
