"""How `codec decode` turns one bitstream into sound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from codec.atomic import AtomicFile
from codec.audio_write import AudioWriter
from codec.bitstream import SeekableStream, StreamHeader
from codec.cli.console import Advance, Console
from codec.cli.damage import damage_values, damage_warning, refuse_damage, write_damage
from codec.cli.headers import REPAIRED, Opening, read_opening
from codec.cli.models import cached_model
from codec.cli.reports import DecodeReport
from codec.cli.signals import Stop
from codec.cli.streams import Input, open_input, refuse_bad_ends
from codec.cli.times import show_time
from codec.damage import Damage
from codec.errors import UsageError
from codec.loss import parse_loss
from codec.model import CodecModel
from codec.pcm import RawFormat, Samples, count_clipped
from codec.streaming import SpanDecoder, StreamDecoder

if TYPE_CHECKING:
    from codec.cli.decode import DecodeOptions, Span

# So many bytes are taken that about this many samples come out at once.
_STEP_SAMPLES = 1 << 20
_MIN_STEP_BYTES, _MAX_STEP_BYTES = 512, 65536


def decode_file(
    source: str, target: str, options: DecodeOptions, console: Console, stop: Stop
) -> DecodeReport:
    """Decode one bitstream.

    Args:
        source: path, or `-`.
        target: path, or `-`.
        options: see there.
        console: shows the progress.
        stop: ends a live input, and breaks off on a file.

    Raises:
        CodecError: what the reader of the header, the model, the decoder or AudioWriter refuse, and damage
            where the options are strict; `target` is not there then.
        UsageError: a part is wanted of a pipe, or one behind the end; likewise.
        Interrupted: a signal came, and `source` is a file.
    """
    refuse_bad_ends(source, target)
    with ExitStack() as resources:
        stream = resources.enter_context(open_input(source, stop))
        listed = None
        if options.report is not None:
            listed = resources.enter_context(AtomicFile(options.report, options.force))
        opening = read_opening(stream)
        model = cached_model(options.model or opening.header.model_name)
        sound = _open_sound(stream, opening, model, options, stop)
        writer = resources.enter_context(_open_writer(target, opening, options))
        # Where all damage is to be listed, the first is no reason to stop.
        decoding = _Decoding(sound, opening, stream, writer, stop, options.strict and listed is None)
        with console.progress(stream.name, sound.work) as advance:
            decoding.run(advance)
        if listed is not None:
            decoding.list_damage(listed)
            listed.commit()
        if options.strict:
            refuse_damage(sound.damage, stream.name)
    return decoding.report()


class _Sound(Protocol):
    """What is decoded: a stream, or a part of one.

    Attributes:
        work: that `pieces` advances by in all, None if unknown.
        damage: so far.
        num_bytes: of the stream that are told of: of a part, those of the whole file.
        payload_bits: read so far; None where only a part is read.
        container_bits: likewise.
        start: of a part, in seconds.
    """

    work: float | None
    num_bytes: int
    start: float | None

    @property
    def damage(self) -> list[Damage]: ...

    @property
    def payload_bits(self) -> int | None: ...

    @property
    def container_bits(self) -> int | None: ...

    def pieces(self, advance: Advance) -> Iterator[Samples]:
        """The audio `[n, C]`, piece by piece."""


class _Whole:
    """A stream as it comes; see `_Sound`."""

    def __init__(self, stream: Input, opening: Opening, decoder: StreamDecoder, stop: Stop) -> None:
        self.work: float | None = stream.size
        self.num_bytes = 0
        self.start: float | None = None
        self._stream = stream
        self._opening = opening
        self._decoder = decoder
        self._stop = stop
        self._known: int | None = None

    @property
    def damage(self) -> list[Damage]:
        return self._decoder.damage[: self._known]

    @property
    def payload_bits(self) -> int:
        return 8 * self._decoder.payload_bytes

    @property
    def container_bits(self) -> int:
        return 8 * self._decoder.container_bytes

    def pieces(self, advance: Advance) -> Iterator[Samples]:
        """The sound as its bytes come in, `advance` told of how many."""
        data, step = self._opening.data, _step_bytes(self._opening.header)
        while data:
            self.num_bytes += len(data)
            yield from self._decoder.pieces(data)
            advance(len(data))
            data = self._stream.read(step)
        # Where the user ended the stream, its end is no damage.
        if self._stop.received:
            self._known = len(self._decoder.damage)
        yield from self._decoder.last_pieces()


class _Part:
    """A part of a stream in a file; see `_Sound`.

    Raises:
        UsageError: the input is a pipe.
    """

    payload_bits = None
    container_bits = None

    def __init__(self, stream: Input, model: CodecModel, span: Span) -> None:
        if not stream.seekable():
            raise UsageError(
                f"{stream.name} is a pipe, of which no part can be found: save it to a file, or leave out "
                "--start and --duration"
            )
        self.work = span.duration
        self.num_bytes = stream.size or 0
        self.start: float | None = span.start
        self._name = stream.name
        seekable = SeekableStream(cast(BinaryIO, stream), stream.name)
        self._rate = seekable.header.sample_rate
        self._decoder = SpanDecoder(model, seekable, span.start, span.duration, stream.name)

    @property
    def damage(self) -> list[Damage]:
        return self._decoder.damage

    def pieces(self, advance: Advance) -> Iterator[Samples]:
        """The sound of the part, `advance` told of its seconds.

        Raises:
            UsageError: the input ends before the part begins.
        """
        samples = 0
        for pcm in self._decoder.pieces():
            samples += len(pcm)
            yield pcm
            advance(len(pcm) / self._rate)
        if not samples and self.work != 0 and self.start:
            raise UsageError(f"{self._name} ends before --start, {show_time(self.start)}")


class _Decoding:
    """One running decoding."""

    def __init__(
        self,
        sound: _Sound,
        opening: Opening,
        stream: Input,
        writer: AudioWriter,
        stop: Stop,
        strict: bool,
    ) -> None:
        self._sound = sound
        self._opening = opening
        self._name = stream.name
        self._writer = writer
        self._stop = stop
        self._breaks_off = not stream.live
        self._strict = strict
        self._samples = 0
        self._clipped = 0
        self._started = time.perf_counter()

    def run(self, advance: Advance) -> None:
        """Decode everything."""
        for pcm in self._sound.pieces(advance):
            if self._strict and not self._stop.received:
                refuse_damage(self._sound.damage, self._name)
            self._samples += len(pcm)
            self._clipped += count_clipped(pcm)
            with self._stop.raising() if self._breaks_off else nullcontext():
                self._writer.write(pcm)

    def list_damage(self, file: AtomicFile) -> None:
        """Write the report of damage."""
        header = self._opening.header
        seconds = self._samples / header.sample_rate
        write_damage(file, self._sound.damage, header, self._name, seconds, self._opening.repaired)

    def report(self) -> DecodeReport:
        """How it went."""
        sound, header = self._sound, self._opening.header
        return DecodeReport(
            input=self._name,
            output=self._writer.name,
            header=header,
            samples=self._samples,
            file_bytes=sound.num_bytes,
            payload_bits=sound.payload_bits,
            container_bits=sound.container_bits,
            elapsed=time.perf_counter() - self._started,
            ended_by=self._stop.reason,
            warnings=self._warnings(),
            clipped_samples=self._clipped,
            damage=damage_values(sound.damage, header),
            start_seconds=sound.start,
        )

    def _warnings(self) -> list[str]:
        warnings = [f"{self._name}{REPAIRED}"] if self._opening.repaired else []
        if self._sound.damage:
            warnings.append(damage_warning(self._sound.damage, self._name))
        return warnings


def _open_sound(
    stream: Input, opening: Opening, model: CodecModel, options: DecodeOptions, stop: Stop
) -> _Sound:
    if options.span is not None:
        return _Part(stream, model, options.span)
    loss = None if options.loss is None else parse_loss(options.loss, options.loss_seed)
    decoder = StreamDecoder(model, name=stream.name, header=opening.known_header, loss=loss)
    return _Whole(stream, opening, decoder, stop)


def _step_bytes(header: StreamHeader) -> int:
    """How many bytes to take at once, so that memory does not depend on bitrate, sample rate and channels."""
    frame_samples = header.hop * header.sample_rate / header.coded_rate * header.channels
    frame_bytes = header.channels * header.num_codebooks * header.bits_per_code / 8
    return int(min(max(_STEP_SAMPLES / frame_samples * frame_bytes, _MIN_STEP_BYTES), _MAX_STEP_BYTES))


def _open_writer(target: str, opening: Opening, options: DecodeOptions) -> AudioWriter:
    header = opening.header
    rate, channels = header.sample_rate, header.channels
    if options.raw:
        raw = RawFormat(rate, channels, options.subtype or "s16le")
        return AudioWriter(target, rate, channels, force=options.force, raw=raw)
    return AudioWriter(target, rate, channels, options.subtype, options.force, tags=opening.tags)
