"""Streams in files: the header from its copy where the first is damaged, and blocks found by their frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from codec.bitstream.container import ContainerReader
from codec.bitstream.events import Event, HeaderRead, Lost, MetadataRead, StreamEnd
from codec.bitstream.footer import Footer, find_footer
from codec.bitstream.header import MAX_HEADER_BYTES, DamagedHeaderError, StreamHeader, parse_header
from codec.bitstream.units import BLOCK, POSITION_MODULUS, UnitScanner

# How far from the end a footer is looked for, where other bytes stand behind it.
_TAIL_BYTES = 1 << 16
_PROBE_BYTES = 1 << 12
_READ_BYTES = 1 << 14


class SeekableStream:
    """A stream in a file, which is read only where it is asked for.

    Args:
        file: binary, at any place, and seekable; nothing else may move it while an iteration runs.
        name: what messages call the stream.

    Attributes:
        header: what the stream's header says.
        repaired: the header is damaged, and was read from its copy in the footer.
        footer: what the footer says, or None if it is damaged or missing. Only a reading up to the end finds
            out whether that agrees with the blocks.

    Raises:
        CodecError: this is no stream of the codec, or of a newer version, or its header and the copy are
            damaged.
    """

    def __init__(self, file: BinaryIO, name: str = "stream") -> None:
        self._file = file
        self._name = name
        self._size = file.seek(0, 2)
        tail = self._read(max(self._size - _TAIL_BYTES, 0), _TAIL_BYTES)
        try:
            self.header, self._start = self._read_header()
            self.repaired = False
            found = find_footer(tail, self.header)
        except DamagedHeaderError:
            found = find_footer(tail, None)
            if found is None:
                raise
            # The blocks may begin anywhere: damage may have made the header longer or shorter.
            self.header, self._start, self.repaired = found[2], 0, True
        self.footer: Footer | None = found[1] if found else None
        self._end = self._size - len(tail) + found[0] if found else self._size

    def events(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """Tells of a span of frames all blocks that a reading of the whole stream finds, and what is lost.

        HeaderRead and MetadataRead are left out, and so may be bytes that were passed over without a loss.
        The first and the last event may reach beyond the span, and StreamEnd comes if the end was met. A span
        without damage is read alone; where something is lost, the stream is read from its start, since only
        that tells a gap from parts that lie in the wrong order.

        Args:
            start: index of the first frame.
            stop: index behind the last frame, or None for the end of the stream.
        """
        offset, position = self._find(start)
        for event in self._read_span(offset, position, start, stop):
            if isinstance(event, Lost) and event.frames and offset != self._start:
                again = self._read_span(self._start, 0, max(event.position, start), stop)
                yield from (_from(event.position, other) for other in again)
                return
            yield event

    def _read_span(self, offset: int, position: int, start: int, stop: int | None) -> Iterator[Event]:
        """What belongs to a span in a reading from a place of the file on, where a frame is due."""
        reader = ContainerReader(self._name, self.header, position)
        more = True
        while more and (stop is None or reader.position < stop):
            data = self._read(offset, _READ_BYTES)
            offset += len(data)
            more = bool(data)
            for event in reader.push(data) if data else reader.finish():
                if self._belongs(event, start, stop):
                    yield event

    def _read_header(self) -> tuple[StreamHeader, int]:
        start = self._read(0, MAX_HEADER_BYTES)
        parsed = parse_header(start, self._name)
        if parsed is None:
            what = "ends inside its header" if start else "is empty"
            raise DamagedHeaderError(f"{self._name} {what}: get a fresh copy or encode the audio again")
        return parsed

    def _belongs(self, event: Event, start: int, stop: int | None) -> bool:
        if isinstance(event, HeaderRead | MetadataRead):
            return False
        if isinstance(event, StreamEnd):
            return True
        # What is lost without a length belongs to the frame that follows it.
        frames = (event.frames or 1) if isinstance(event, Lost) else self.header.block_frames
        return event.position + frames > start and (stop is None or event.position < stop)

    def _find(self, frame: int) -> tuple[int, int]:
        """Where a reading that must tell of `frame` can start: a place in the file, and its frame.

        Bisects over the places of whole blocks, whose heads tell their frames. Those count modulo
        POSITION_MODULUS, so that a longer stream, or one whose length is unknown, is read from its start.
        """
        low, position = self._start, 0
        if self.footer is None or self.footer.num_frames > POSITION_MODULUS:
            return low, position
        high = self._end
        while high - low > _READ_BYTES and position + self.header.block_frames <= frame:
            middle = (low + high) // 2
            found = self._first_block(middle, high, self.footer.num_frames)
            if found is None or found[1] > frame:
                high = middle
            else:
                low, position = found
        return low, position

    def _first_block(self, start: int, stop: int, num_frames: int) -> tuple[int, int] | None:
        """The first whole block from `start` on: where it is, and its first frame; None if there is none.

        Blocks whose place no reading can believe do not count.
        """
        scanner, block_frames = UnitScanner(self.header), self.header.block_frames
        taken, end, final = 0, start, False
        while start + scanner.skipped + taken < stop:
            unit = scanner.next(final)
            if unit is None and final:
                return None
            if unit is None:
                data = self._read(end, _PROBE_BYTES)
                end += len(data)
                final = not data
                scanner.push(data)
            elif unit.kind == BLOCK and unit.position < num_frames and not unit.position % block_frames:
                return start + scanner.skipped + taken, unit.position
            else:
                taken += unit.size
        return None

    def _read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at a place of the file; fewer only at its end, whatever kind of file it is."""
        self._file.seek(offset)
        data = b""
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data


def _from(position: int, event: Event) -> Event:
    """The event without the frames before `position`, which have been told of."""
    if isinstance(event, Lost) and event.position < position:
        return replace(event, position=position, frames=event.position + event.frames - position)
    return event
