"""How `codec encode` turns one sound file or stream into a bitstream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codec.atomic import AtomicFile
from codec.audio_read import AudioReader
from codec.cli.console import Console
from codec.cli.models import cached_model
from codec.cli.reports import EncodeReport
from codec.cli.signals import Stop
from codec.cli.streams import is_live, open_input, refuse_bad_ends
from codec.errors import CodecError
from codec.pcm import Samples
from codec.streaming import StreamEncoder, TwoPassEncoder

if TYPE_CHECKING:
    from codec.cli.encode import EncodeOptions

# Sound taken from a file at once: long, since the networks are fastest on many frames.
BLOCK_SECONDS = 5.12
_MAX_BLOCK_SAMPLES = 1 << 20


def encode_file(
    source: str, target: str, options: EncodeOptions, console: Console, stop: Stop
) -> EncodeReport:
    """Encode one file or stream.

    Args:
        source: path, or `-`.
        target: path, or `-`.
        options: see there.
        console: shows the progress.
        stop: ends a live input, and breaks off on a file.

    Raises:
        CodecError: what AudioReader, AtomicFile, the model or StreamEncoder refuse; `target` is not there
            then. Only a live input that reaches the maximal duration is coded up to there.
        Interrupted: a signal came, and `source` is a file.
    """
    refuse_bad_ends(source, target)
    with _open_sound(source, options, stop) as sound:
        with AtomicFile(target, options.force) as file:
            encoding = _Encoding(sound, file, options, None if sound.live else stop)
            reader = sound.reader
            total = reader.frames / reader.sample_rate if reader.frames is not None else None
            passes = 2 if options.rates.two_pass else 1
            with console.progress(reader.name, total and passes * total) as advance:
                for samples in encoding.run():
                    advance(samples / reader.sample_rate)
        if encoding.cut:
            raise _too_long(f"{reader.name} was coded up to there, but", options)
        return encoding.report(stop.reason)


@dataclass(frozen=True)
class _Sound:
    """What is encoded.

    Attributes:
        reader: stands at its start.
        live: a signal is its end, and its length may come as a surprise.
    """

    reader: AudioReader
    live: bool


class _Encoding:
    """One running encoding, which signals break off, unless `stop` is None."""

    def __init__(self, sound: _Sound, file: AtomicFile, options: EncodeOptions, stop: Stop | None) -> None:
        self.cut = False
        self._reader = reader = sound.reader
        self._file = file
        self._options = options
        self._stop = stop
        self._limit = int(min(options.max_duration * reader.sample_rate, 2.0**62))
        seconds = int(BLOCK_SECONDS * reader.sample_rate)
        self._block = min(seconds, _MAX_BLOCK_SAMPLES // reader.channels)
        self._samples = 0
        self._model = cached_model(options.model)
        # Made here, so that bad options are refused before anything is read.
        self._encoder = self._start_two_passes() if options.rates.two_pass else self._start_encoder()
        self._started = time.perf_counter()

    def run(self) -> Iterator[int]:
        """Encode everything; yields the samples of each step."""
        for pcm in self._sound():
            self._write(self._encoder.push(pcm))
            yield len(pcm)
        header = self._encoder.header
        block = header.block_frames * header.hop * header.sample_rate // header.coded_rate
        for part in self._encoder.flush():
            self._write([part])
            yield block

    def report(self, ended_by: str | None) -> EncodeReport:
        """How it went."""
        reader, encoder = self._reader, self._encoder
        payload, container = encoder.payload_bytes, encoder.container_bytes
        return EncodeReport(
            input=reader.name,
            output=self._file.name,
            header=encoder.header,
            samples=self._samples,
            file_bytes=payload + container,
            payload_bits=8 * payload,
            container_bits=8 * container,
            elapsed=time.perf_counter() - self._started,
            ended_by=ended_by,
            # Whoever ends a recording knows that its input is cut.
            warnings=[] if ended_by else list(reader.warnings),
            raw_index_bits=encoder.raw_index_bits,
            codebooks_per_frame=encoder.codebooks_per_frame,
        )

    def _start_encoder(self) -> StreamEncoder:
        options = self._options
        return StreamEncoder(
            self._model,
            self._reader.sample_rate,
            self._reader.channels,
            bitrate=options.rates.bitrate,
            num_codebooks=options.rates.codebooks,
            packet_ms=options.packet_ms,
            mode=options.rates.mode.value,
            quality=options.rates.quality,
            max_bitrate=options.rates.max_bitrate,
            tags=self._reader.tags,
        )

    def _start_two_passes(self) -> TwoPassEncoder:
        options = self._options
        return TwoPassEncoder(
            self._model,
            self._reader.sample_rate,
            self._reader.channels,
            bitrate=options.rates.bitrate,
            packet_ms=options.packet_ms,
            max_bitrate=options.rates.max_bitrate,
            tags=self._reader.tags,
        )

    def _sound(self) -> Iterator[Samples]:
        """The sound as it comes, up to the longest that is allowed."""
        while not self.cut and len(pcm := self._reader.read(self._block)):
            self.cut = self._samples + len(pcm) > self._limit
            pcm = pcm[: self._limit - self._samples]
            self._samples += len(pcm)
            yield pcm

    def _write(self, parts: list[bytes]) -> None:
        with self._stop.raising() if self._stop else nullcontext():
            for part in parts:
                self._file.write(part)


@contextmanager
def _open_sound(source: str, options: EncodeOptions, stop: Stop) -> Iterator[_Sound]:
    if not is_live(source):
        with AudioReader(source, options.raw, options.max_duration) as reader:
            yield _Sound(reader, live=False)
        return
    with open_input(source, stop) as stream, AudioReader(stream, options.raw, float("inf")) as reader:
        if (reader.frames or 0) > options.max_duration * reader.sample_rate:
            raise _too_long(reader.name, options)
        yield _Sound(reader, live=True)


def _too_long(what: str, options: EncodeOptions) -> CodecError:
    return CodecError(f"{what} lasts longer than {options.max_duration:g} s: allow more with --max-duration")
