"""How `codec decode` turns one bitstream into sound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from codec.atomic import AtomicFile
from codec.audio_write import AudioWriter
from codec.bitstream import StreamHeader
from codec.cli.console import Console
from codec.cli.damage import damage_values, damage_warning, refuse_damage, write_damage
from codec.cli.headers import REPAIRED, Opening, read_opening
from codec.cli.models import cached_model
from codec.cli.reports import DecodeReport
from codec.cli.signals import Stop
from codec.cli.streams import Input, open_input, refuse_bad_ends
from codec.damage import Damage
from codec.pcm import RawFormat
from codec.playback import Pcm
from codec.streaming import StreamDecoder

if TYPE_CHECKING:
    from codec.cli.decode import DecodeOptions

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
        CodecError: what the reader of the header, the model, StreamDecoder or AudioWriter refuse, and damage
            where the options are strict; `target` is not there then.
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
        decoder = StreamDecoder(model, name=stream.name, header=opening.known_header)
        writer = resources.enter_context(_open_writer(target, opening, options))
        # Where all damage is to be listed, the first is no reason to stop.
        decoding = _Decoding(stream, opening, decoder, writer, stop, options.strict and listed is None)
        with console.progress(stream.name, stream.size) as advance:
            for num_bytes in decoding.run():
                advance(num_bytes)
        if listed is not None:
            decoding.list_damage(listed)
            listed.commit()
        if options.strict:
            refuse_damage(decoding.damage, stream.name)
    return decoding.report()


class _Decoding:
    """One running decoding.

    Attributes:
        damage: all of it, when everything is decoded.
    """

    def __init__(
        self,
        stream: Input,
        opening: Opening,
        decoder: StreamDecoder,
        writer: AudioWriter,
        stop: Stop,
        strict: bool,
    ) -> None:
        self.damage: list[Damage] = []
        self._stream = stream
        self._opening = opening
        self._decoder = decoder
        self._writer = writer
        self._stop = stop
        self._strict = strict
        self._num_bytes = 0
        self._samples = 0
        self._started = time.perf_counter()

    def run(self) -> Iterator[int]:
        """Decode everything; yields the bytes of each step."""
        data, step = self._opening.data, _step_bytes(self._opening.header)
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
        self.damage = self._decoder.damage[:known]

    def list_damage(self, file: AtomicFile) -> None:
        """Write the report of damage."""
        header = self._opening.header
        seconds = self._samples / header.sample_rate
        write_damage(file, self.damage, header, self._stream.name, seconds, self._opening.repaired)

    def report(self) -> DecodeReport:
        """How it went."""
        header = self._opening.header
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
            damage=damage_values(self.damage, header),
        )

    def _write(self, pcm: Pcm) -> None:
        if self._strict and not self._stop.received:
            refuse_damage(self._decoder.damage, self._stream.name)
        self._samples += len(pcm)
        with nullcontext() if self._stream.live else self._stop.raising():
            self._writer.write(pcm)

    def _warnings(self) -> list[str]:
        warnings = [f"{self._stream.name}{REPAIRED}"] if self._opening.repaired else []
        if self.damage:
            warnings.append(damage_warning(self.damage, self._stream.name))
        return warnings


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
