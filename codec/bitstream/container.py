"""The container: a header, independent blocks, a footer; written without going back, read without seeking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from codec.bitstream.events import BlockRead, Event, HeaderRead, Lost, MetadataRead, StreamEnd
from codec.bitstream.footer import Footer, encode_footer, parse_footer
from codec.bitstream.header import StreamHeader, parse_header
from codec.bitstream.lengths import WrittenFrames, samples_fit
from codec.bitstream.metadata import MAX_METADATA_BYTES, encode_metadata, parse_metadata
from codec.bitstream.units import (
    BLOCK,
    FOOTER,
    METADATA,
    MIN_BLOCK_BYTES,
    POSITION_MODULUS,
    UNIT_OVERHEAD,
    Unit,
    UnitScanner,
    encode_block,
    encode_unit,
)
from codec.errors import CodecError, UsageError

# A gap that no bytes stand for is believed up to this many frames, so that a few crafted bytes cannot ask for
# years of concealment.
MAX_UNSEEN_FRAMES = 1 << 16
# So many blocks in a row that agree on a position far ahead are believed, lest a stream stay silent for ever.
_LEAP_BLOCKS = 3


class ContainerWriter:
    """Writes one stream: `start`, then `block` for every block, then `finish`.

    Attributes:
        payload_bytes: bytes of payloads returned so far.
        container_bytes: all other bytes returned so far.
    """

    def __init__(self, header: StreamHeader) -> None:
        self._header = header
        self._salt = header.crc
        self._frames = WrittenFrames(header)
        self.payload_bytes = 0
        self.container_bytes = 0

    def start(self, tags: Iterable[tuple[str, str]] = ()) -> list[bytes]:
        """Returns the header, and the metadata behind it where there are tags.

        Raises:
            UsageError: the header was written before, or the tags are what `encode_metadata` refuses.
        """
        metadata = encode_metadata(tags)
        self._frames.start()
        parts = [self._header.to_bytes()]
        if metadata:
            parts.append(encode_unit(METADATA, metadata, self._salt))
        self.container_bytes += sum(map(len, parts))
        return parts

    def block(self, position: int, payload: bytes, frames: int) -> list[bytes]:
        """Returns the next block.

        Args:
            position: index of its first frame, a multiple of the header's `block_frames`; where that is not
                the end of the block before, the frames between are missing.
            payload: the packed codes, from 1 byte to the header's `max_payload_bytes`.
            frames: that it holds, `block_frames`, or fewer, but at least 1, in the last block.

        Raises:
            UsageError: a value is out of range, or the order is wrong.
        """
        self._frames.add(position, payload, frames)
        self.payload_bytes += len(payload)
        self.container_bytes += UNIT_OVERHEAD
        return [encode_block(position, payload, self._salt)]

    def finish(self, num_samples: int, codes_hash: bytes, num_frames: int | None = None) -> list[bytes]:
        """Returns the footer.

        Args:
            num_samples: exact length of a channel at the user's sample rate.
            codes_hash: the digest of `CodesHash` over the codes of all blocks.
            num_frames: of the whole stream, where the last blocks are missing.

        Raises:
            UsageError: the frames cannot hold so many samples, or the stream is finished already.
        """
        total = self._frames.finish(num_samples, codes_hash, num_frames)
        footer = Footer(total, num_samples, codes_hash, self._header.to_bytes())
        data = encode_footer(footer, self._salt)
        self.container_bytes += len(data)
        return [data]


class ContainerReader:
    """Reads one stream, pushed in pieces of any size.

    Damage after the header is told by events and never raised. Blocks tell their positions, so that the next
    good block, or the footer, tells how many frames were lost.

    Args:
        name: what messages call the stream, for example its file name.
        header: what the stream's header would say: reading then starts anywhere in a stream, also before or
            in a damaged header. Without it, the header must come first.
        position: index of the frame that is due where reading starts.

    Attributes:
        payload_bytes: bytes of payloads in the good blocks so far.
        container_bytes: bytes of header, footer, metadata and good blocks' overhead so far.
        skipped_bytes: all other bytes so far: damaged, foreign, or after the footer.
    """

    def __init__(self, name: str = "stream", header: StreamHeader | None = None, position: int = 0) -> None:
        self._name = name
        self._start = bytearray()
        self._body = _Body(header, position) if header else None
        self._announced = False
        self._finished = False
        self._header_bytes = 0

    @property
    def header(self) -> StreamHeader | None:
        """What the header says, or None before it arrived."""
        return self._body.header if self._body else None

    @property
    def position(self) -> int:
        """Index of the frame that is due next."""
        return self._body.due if self._body else 0

    @property
    def payload_bytes(self) -> int:
        """Bytes of payloads in the good blocks so far."""
        return self._body.payload_bytes if self._body else 0

    @property
    def container_bytes(self) -> int:
        """Bytes of header, footer, metadata and good blocks' overhead so far."""
        return self._header_bytes + (self._body.container_bytes if self._body else 0)

    @property
    def skipped_bytes(self) -> int:
        """All other bytes so far: damaged, foreign, or after the footer."""
        return self._body.skipped_bytes if self._body else 0

    def push(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Takes the next bytes and returns what they complete.

        Raises:
            CodecError: this is no stream of the codec, or of a newer version, or its header is damaged.
            UsageError: `finish` was called.
        """
        if self._finished:
            raise UsageError("nothing can be pushed after finish()")
        if self._body is not None:
            return self._announce(self._body) + self._body.read(data, final=False)
        self._start += data
        parsed = parse_header(self._start, self._name)
        if parsed is None:
            return []
        header, self._header_bytes = parsed
        self._body = _Body(header, 0)
        rest = self._start[self._header_bytes :]
        self._start.clear()
        return self._announce(self._body) + self._body.read(rest, final=False)

    def finish(self) -> list[Event]:
        """Tells that the stream is over and returns the last events, StreamEnd at their end.

        Raises:
            CodecError: the stream ended before its header was whole.
            UsageError: it was called before.
        """
        if self._finished:
            raise UsageError("finish() was called already")
        self._finished = True
        if self._body is None:
            what = "ends inside its header" if self._start else "is empty"
            raise CodecError(f"{self._name} {what}: get a fresh copy or encode the audio again")
        events = self._announce(self._body) + self._body.read(b"", final=True)
        return [*events, self._body.end()]

    def _announce(self, body: _Body) -> list[Event]:
        first, self._announced = not self._announced, True
        return [HeaderRead(body.header)] if first else []


class _Body:
    """What follows the header: turns units into events and keeps the clock."""

    def __init__(self, header: StreamHeader, position: int) -> None:
        self.header = header
        self.due = position
        self.payload_bytes = 0
        self.container_bytes = 0
        self.skipped_bytes = 0
        self._scanner = UnitScanner(header)
        self._counted = 0  # of the bytes that the scanner passed over, how many are in skipped_bytes
        self._passed = 0  # bytes passed over since the last block
        self._shortfall = 0  # frames by which the block before the one due may fall short of a full one
        self._tag_bytes = 0
        self._leap: list[Unit] = []
        self._leapt = False
        self._end: StreamEnd | None = None
        self._trailing = 0

    def read(self, data: bytes | bytearray | memoryview, final: bool) -> list[Event]:
        """Takes the next bytes and returns what they complete; `final` if no more will come."""
        self._scanner.push(data)
        events: list[Event] = []
        while self._end is None:
            unit = self._scanner.next(final)
            self._pass_over(self._scanner.skipped - self._counted)
            self._counted = self._scanner.skipped
            if unit is None:
                return events
            events += self._read_unit(unit)
        rest = self._scanner.discard()
        self._trailing += rest
        self.skipped_bytes += rest
        return events

    def end(self) -> StreamEnd:
        """The last event, when all bytes have been read."""
        if self._end is None:
            self._drop_leap()
            return StreamEnd(self.due, None, None, "the footer is missing or damaged: the stream may be cut")
        if not self._trailing:
            return self._end
        reasons = [self._end.reason, f"{self._trailing} bytes after the footer were ignored"]
        return replace(self._end, reason="; ".join(filter(None, reasons)))

    def _read_unit(self, unit: Unit) -> list[Event]:
        if unit.kind == BLOCK:
            return self._place(unit)
        self.container_bytes += unit.size
        if unit.kind == FOOTER:
            self._drop_leap()
            return self._read_footer(parse_footer(unit.payload))
        return self._read_metadata(unit.payload) if unit.kind == METADATA else []

    def _place(self, unit: Unit) -> list[Event]:
        """Finds a block's place on the clock, or passes it over."""
        frames = self.header.block_frames
        ahead = (unit.position - self.due) % POSITION_MODULUS
        if ahead % frames == 0 and self._believes(ahead):
            self._drop_leap()
            return [*self._lose(ahead), self._take(unit)]
        if ahead % frames or ahead >= POSITION_MODULUS // 2:
            self._pass_over(unit.size)
            return []
        if self._leap and unit.position != (self._leap[-1].position + frames) % POSITION_MODULUS:
            self._drop_leap()
        self._leap.append(unit)
        return self._take_leap() if len(self._leap) == _LEAP_BLOCKS else []

    def _believes(self, frames: int) -> bool:
        """Whether a gap of so many frames, with the bytes passed over in it, is taken for real."""
        room = self._passed // MIN_BLOCK_BYTES * self.header.block_frames
        return frames < min(MAX_UNSEEN_FRAMES + room + 1, POSITION_MODULUS // 2)

    def _take(self, unit: Unit) -> BlockRead:
        event = BlockRead(self.due, unit.payload)
        self.due += self.header.block_frames
        self._shortfall = self.header.block_frames - 1
        self.payload_bytes += len(unit.payload)
        self.container_bytes += UNIT_OVERHEAD
        return event

    def _take_leap(self) -> list[Event]:
        ahead = (self._leap[0].position - self.due) % POSITION_MODULUS
        reason = f"the stream leaps by {ahead} frames, more than can be bridged"
        leap = Lost(self.due, 0, reason)
        self.due += ahead
        self._leapt = True
        self._passed = 0
        blocks = [self._take(unit) for unit in self._leap]
        self._leap.clear()
        return [leap, *blocks]

    def _drop_leap(self) -> None:
        self._pass_over(sum(unit.size for unit in self._leap))
        self._leap.clear()

    def _read_metadata(self, payload: bytes) -> list[Event]:
        if self._tag_bytes + len(payload) > MAX_METADATA_BYTES:
            return []
        self._tag_bytes += len(payload)
        try:
            return [MetadataRead(parse_metadata(payload))]
        except CodecError as error:
            return [Lost(self.due, 0, str(error))]

    def _read_footer(self, footer: Footer | None) -> list[Event]:
        if footer is None or footer.header != self.header.to_bytes():
            return self._end_badly("the footer contradicts the header")
        ahead = footer.num_frames - self.due
        if ahead < -self._shortfall or not self._believes(ahead):
            return self._end_badly(
                f"the footer states {footer.num_frames} frames and the blocks hold {self.due}"
            )
        num_samples: int | None = footer.num_samples
        reason: str | None = None
        if not samples_fit(self.header, footer.num_frames, footer.num_samples):
            reason = f"the footer states {footer.num_samples} samples for {footer.num_frames} frames"
        elif self._leapt:
            reason = "the length is unknown, since the stream leaps"
        if reason:
            num_samples = None
        events = self._lose(max(ahead, 0))
        self.due = footer.num_frames
        self._end = StreamEnd(footer.num_frames, num_samples, footer.codes_hash, reason)
        return events

    def _end_badly(self, reason: str) -> list[Event]:
        self._end = StreamEnd(self.due, None, None, reason)
        return self._lose(0)

    def _lose(self, frames: int) -> list[Event]:
        """Counts lost frames and returns the event that tells them, if there is anything to tell."""
        passed, self._passed = self._passed, 0
        if not frames and not passed:
            return []
        reason = f"{passed} bytes that belong to no block"
        if frames:
            reason = "damaged" if passed else "missing"
        event = Lost(self.due, frames, reason)
        self.due += frames
        self._shortfall = 0
        return [event]

    def _pass_over(self, count: int) -> None:
        self._passed += count
        self.skipped_bytes += count
