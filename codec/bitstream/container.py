"""The container: a header, independent blocks, a footer; written without going back, read without seeking."""

from __future__ import annotations

from codec.bitstream.events import BlockDamaged, BlockRead, Event, HeaderRead, StreamEnd
from codec.bitstream.header import StreamHeader, parse_header
from codec.bitstream.packet import CodePacking, Codes, FrameCoder
from codec.bitstream.units import (
    FOOTER_BYTES,
    SEQUENCE_MODULUS,
    UNIT_OVERHEAD,
    Unit,
    UnitScanner,
    encode_footer,
    encode_unit,
    parse_footer,
)
from codec.errors import CodecError, UsageError


def _frame_coder(header: StreamHeader) -> FrameCoder:
    """The one place that decides how a stream's codes are packed, and with it how large a payload is."""
    return CodePacking(header.num_codebooks, header.bits_per_code)


def _samples_fit(header: StreamHeader, num_frames: int, num_samples: int) -> bool:
    """Whether so many samples can lie in so many frames; a resampler may round, by less than a frame."""
    return num_samples * header.coded_rate < (num_frames + 1) * header.hop * header.sample_rate


class ContainerWriter:
    """Writes one stream: `start`, then `block` for every block, then `finish`.

    Attributes:
        payload_bytes: bytes of packed codes returned so far.
        container_bytes: all other bytes returned so far.
    """

    def __init__(self, header: StreamHeader) -> None:
        self._header = header
        self._coder = _frame_coder(header)
        self._salt = header.crc
        self._started = False
        self._closed = False
        self._num_blocks = 0
        self._num_frames = 0
        self.payload_bytes = 0
        self.container_bytes = 0

    def start(self) -> bytes:
        """Returns the header; raises UsageError if it was written before."""
        if self._started:
            raise UsageError("a stream has one header, and it is written already")
        self._started = True
        data = self._header.to_bytes()
        self.container_bytes += len(data)
        return data

    def block(self, codes: Codes) -> bytes:
        """Returns the next block.

        Args:
            codes: [C, M, F] with C and M of the header and F equal to its `block_frames`, or fewer, but at
                least 1, in the last block.

        Raises:
            UsageError: another shape, a code that does not fit into its bits, or a block after the last.
        """
        self._check_open()
        channels, frames = self._header.channels, self._header.block_frames
        if self._num_frames < self._num_blocks * frames:
            raise UsageError(f"only the last block may have fewer than {frames} frames")
        if codes.ndim != 3 or codes.shape[0] != channels or not 1 <= codes.shape[2] <= frames:
            raise UsageError(f"a block must be [{channels}, codebooks, 1..{frames}], not {list(codes.shape)}")
        payload = self._coder.pack(codes)
        data = encode_unit(self._num_blocks, codes.shape[2], payload, self._salt)
        self._num_blocks += 1
        self._num_frames += codes.shape[2]
        self.payload_bytes += len(payload)
        self.container_bytes += UNIT_OVERHEAD
        return data

    def finish(self, num_samples: int) -> bytes:
        """Returns the footer.

        Args:
            num_samples: exact length of a channel at the user's sample rate.

        Raises:
            UsageError: the blocks written cannot hold so many samples, or the stream is finished already.
        """
        self._check_open()
        if num_samples < 0 or not _samples_fit(self._header, self._num_frames, num_samples):
            raise UsageError(f"{self._num_frames} frames cannot hold {num_samples} samples")
        self._closed = True
        self.container_bytes += FOOTER_BYTES
        return encode_footer(self._num_blocks, self._num_frames, num_samples, self._salt)

    def _check_open(self) -> None:
        if not self._started or self._closed:
            raise UsageError("blocks and footer follow the header, and nothing follows the footer")


class ContainerReader:
    """Reads one stream, pushed in pieces of any size.

    Damage after the header is told by events and never raised. All blocks but the last are full, so that the
    sequence number of the next good block, or the footer, tells how many frames were lost.

    Attributes:
        payload_bytes: bytes of packed codes in the good blocks so far.
        container_bytes: bytes of header, footer and good blocks' overhead so far.
        skipped_bytes: all other bytes so far: damaged, foreign, or after the footer.
    """

    def __init__(self, name: str = "stream") -> None:
        """Starts a reader; messages call the stream `name`, for example its file name."""
        self._name = name
        self._start = bytearray()
        self._scanner: UnitScanner | None = None
        self._footer: StreamEnd | None = None
        self._finished = False
        self._trailing = 0
        self._num_blocks = 0
        self._num_frames = 0
        self.payload_bytes = 0
        self.container_bytes = 0
        self.skipped_bytes = 0

    @property
    def header(self) -> StreamHeader | None:
        """What the header says, or None before it arrived."""
        return self._scanner.header if self._scanner else None

    def push(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Takes the next bytes and returns what they complete.

        Raises:
            CodecError: this is no stream of the codec, or of a newer version, or its header is damaged.
            UsageError: `finish` was called.
        """
        if self._finished:
            raise UsageError("nothing can be pushed after finish()")
        if self._scanner is not None:
            self._scanner.push(data)
            return self._read_units(self._scanner, final=False)
        self._start += data
        parsed = parse_header(self._start, self._name)
        if parsed is None:
            return []
        header, size = parsed
        self.container_bytes += size
        self._scanner = UnitScanner(header, _frame_coder(header))
        self._scanner.push(self._start[size:])
        self._start.clear()
        return [HeaderRead(header), *self._read_units(self._scanner, final=False)]

    def finish(self) -> list[Event]:
        """Tells that the stream is over and returns the last events, StreamEnd at their end.

        Raises:
            CodecError: the stream ended before its header was whole.
            UsageError: it was called before.
        """
        if self._finished:
            raise UsageError("finish() was called already")
        self._finished = True
        if self._scanner is None:
            what = "ends inside its header" if self._start else "is empty"
            raise CodecError(f"{self._name} {what}: get a fresh copy or encode the audio again")
        events = self._read_units(self._scanner, final=True)
        if self._footer is None:
            return [*events, *self._end_without_footer(self._scanner)]
        if self._trailing == 0:
            return [*events, self._footer]
        reasons = [self._footer.reason, f"{self._trailing} bytes after the footer were ignored"]
        return [*events, StreamEnd(self._footer.num_samples, "; ".join(filter(None, reasons)))]

    def _read_units(self, scanner: UnitScanner, final: bool) -> list[Event]:
        events: list[Event] = []
        while self._footer is None:
            unit = scanner.next(self._num_blocks, final)
            if unit is None:
                return events
            self.skipped_bytes += unit.skipped
            events += self._read_block(scanner, unit) if unit.frames else self._read_footer(scanner, unit)
        rest = scanner.discard()
        self._trailing += rest
        self.skipped_bytes += rest
        return events

    def _read_block(self, scanner: UnitScanner, unit: Unit) -> list[Event]:
        missing = (unit.sequence - self._num_blocks) % SEQUENCE_MODULUS
        events = self._lose(missing, missing * scanner.header.block_frames, unit.skipped)
        index = self._num_blocks
        self._num_blocks += 1
        self._num_frames += unit.frames
        self.container_bytes += UNIT_OVERHEAD
        try:
            codes = scanner.coder.unpack(unit.payload, scanner.header.channels, unit.frames)
        except CodecError as error:
            self.skipped_bytes += len(unit.payload)
            return [*events, BlockDamaged(index, unit.frames, str(error), 1)]
        self.payload_bytes += len(unit.payload)
        return [*events, BlockRead(index, codes)]

    def _read_footer(self, scanner: UnitScanner, unit: Unit) -> list[Event]:
        num_frames, num_samples = parse_footer(unit)
        self.container_bytes += FOOTER_BYTES
        blocks = (unit.sequence - self._num_blocks) % SEQUENCE_MODULUS
        frames = num_frames - self._num_frames
        frames_fit = frames >= 0 and -(-frames // scanner.header.block_frames) == blocks
        if not frames_fit or not scanner.believes(blocks, unit.skipped):
            reason = f"the footer states {num_frames} frames and the blocks hold {self._num_frames}"
            self._footer = StreamEnd(None, reason)
            return self._lose(0, 0, unit.skipped)
        if _samples_fit(scanner.header, num_frames, num_samples):
            self._footer = StreamEnd(num_samples, None)
        else:
            self._footer = StreamEnd(None, f"the footer states {num_samples} samples for {num_frames} frames")
        return self._lose(blocks, frames, unit.skipped)

    def _end_without_footer(self, scanner: UnitScanner) -> list[Event]:
        """The bytes at the end count as the full blocks that they have room for beside a damaged footer."""
        tail = scanner.skipped
        self.skipped_bytes += tail
        blocks = max(tail - FOOTER_BYTES, 0) // scanner.block_bytes
        events = self._lose(blocks, blocks * scanner.header.block_frames, tail) if blocks else []
        return [*events, StreamEnd(None, "the footer is missing or damaged: the stream may be cut")]

    def _lose(self, blocks: int, frames: int, skipped: int) -> list[Event]:
        """Counts lost blocks and returns the event that tells them, if there is anything to tell."""
        if not blocks and not skipped:
            return []
        if blocks:
            reason = "damaged" if skipped else "missing"
        else:
            reason = f"{skipped} bytes that belong to no block"
        event = BlockDamaged(self._num_blocks, frames, reason, blocks)
        self._num_blocks += blocks
        self._num_frames += frames
        return [event]
