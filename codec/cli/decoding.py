"""How `codec decode` turns one bitstream into sound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

from codec.audio_write import AudioWriter
from codec.bitstream import ContainerReader, StreamHeader
from codec.cli.console import Console, count
from codec.cli.models import cached_model
from codec.cli.reports import DecodeReport
from codec.cli.signals import Stop
from codec.cli.streams import Input, open_input, refuse_bad_ends
from codec.errors import CodecError
from codec.pcm import RawFormat
from codec.playback import Damage, Pcm
from codec.streaming import StreamDecoder

if TYPE_CHECKING:
    from codec.cli.decode import DecodeOptions

_HEADER_READ_BYTES = 64
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
        CodecError: what ContainerReader, the model, StreamDecoder or AudioWriter refuse, and damage where the
            options are strict; `target` is not there then.
        Interrupted: a signal came, and `source` is a file.
    """
    refuse_bad_ends(source, target)
    with open_input(source, stop) as stream:
        start, header = _read_header(stream)
        decoder = StreamDecoder(cached_model(options.model or header.model_name), name=stream.name)
        with _open_writer(target, header, options) as writer:
            decoding = _Decoding(stream, decoder, writer, stop, options.strict)
            with console.progress(stream.name, stream.size) as advance:
                for num_bytes in decoding.run(start, _step_bytes(header)):
                    advance(num_bytes)
        return decoding.report(header)


class _Decoding:
    """One running decoding."""

    def __init__(
        self, stream: Input, decoder: StreamDecoder, writer: AudioWriter, stop: Stop, strict: bool
    ) -> None:
        self._stream = stream
        self._decoder = decoder
        self._writer = writer
        self._stop = stop
        self._strict = strict
        self._num_bytes = 0
        self._samples = 0
        self._damage: list[Damage] = []
        self._started = time.perf_counter()

    def run(self, start: bytes, step: int) -> Iterator[int]:
        """Decode everything; yields the bytes of each step.

        Args:
            start: bytes that were read already.
            step: bytes to read at once.
        """
        data = start
        while data:
            self._num_bytes += len(data)
            for pcm in self._decoder.pieces(data):
                self._write(pcm)
            yield len(data)
            data = self._stream.read(step)
        # Where the user ended the stream, its end is no damage.
        known = len(self._decoder.damage) if self._stop.received else None
        for pcm in self._decoder.last_pieces():
            self._write(pcm)
        self._damage = self._decoder.damage[:known]

    def report(self, header: StreamHeader) -> DecodeReport:
        """How it went."""
        return DecodeReport(
            input=self._stream.name,
            output=self._writer.name,
            seconds=self._samples / header.sample_rate,
            samples=self._samples,
            sample_rate=header.sample_rate,
            channels=header.channels,
            model=header.model_name,
            model_id=header.model_id.hex(),
            mode=header.mode,
            codebooks=header.num_codebooks,
            file_bytes=self._num_bytes,
            payload_bits=8 * self._decoder.payload_bytes,
            container_bits=8 * self._decoder.container_bytes,
            elapsed=time.perf_counter() - self._started,
            ended_by=self._stop.reason,
            warnings=self._warnings(),
            clipped_samples=self._writer.clipped,
            damage=[asdict(damage) for damage in self._damage],
        )

    def _write(self, pcm: Pcm) -> None:
        if self._strict and self._decoder.damage and not self._stop.received:
            raise CodecError(
                f"{self._stream.name} is damaged {_place(self._decoder.damage[0])}: get a fresh copy, "
                "or leave out --strict to hear what is left"
            )
        self._samples += len(pcm)
        with nullcontext() if self._stream.live else self._stop.raising():
            self._writer.write(pcm)

    def _warnings(self) -> list[str]:
        if not self._damage:
            return []
        seconds = sum(damage.seconds for damage in self._damage)
        places = count(len(self._damage), "place")
        return [
            f"{self._stream.name} is damaged in {places}, and {seconds:.2f} s were concealed; "
            f"the first is {_place(self._damage[0])}"
        ]


def _place(damage: Damage) -> str:
    return f"at {damage.start_seconds:.2f} s ({damage.reason})"


def _read_header(stream: Input) -> tuple[bytes, StreamHeader]:
    """The start of a stream, as many bytes as its header needs, and the header."""
    reader, start = ContainerReader(stream.name), b""
    while reader.header is None:
        data = stream.read(_HEADER_READ_BYTES)
        if not data:
            reader.finish()
        reader.push(data)
        start += data
    return start, reader.header


def _step_bytes(header: StreamHeader) -> int:
    """How many bytes to take at once, so that memory does not depend on bitrate, sample rate and channels."""
    frame_samples = header.hop * header.sample_rate / header.coded_rate * header.channels
    frame_bytes = header.channels * header.num_codebooks * header.bits_per_code / 8
    return int(min(max(_STEP_SAMPLES / frame_samples * frame_bytes, _MIN_STEP_BYTES), _MAX_STEP_BYTES))


def _open_writer(target: str, header: StreamHeader, options: DecodeOptions) -> AudioWriter:
    rate, channels = header.sample_rate, header.channels
    if options.raw:
        raw = RawFormat(rate, channels, options.subtype or "s16le")
        return AudioWriter(target, rate, channels, force=options.force, raw=raw)
    return AudioWriter(target, rate, channels, options.subtype, options.force)
