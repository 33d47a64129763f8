"""How `codec encode` turns one sound file or stream into a bitstream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from codec.atomic import AtomicFile
from codec.audio_read import AudioReader
from codec.cli.console import Console
from codec.cli.models import cached_model
from codec.cli.reports import Report
from codec.cli.signals import Stop
from codec.cli.streams import is_live, open_input, refuse_bad_ends
from codec.errors import CodecError
from codec.streaming import StreamEncoder

if TYPE_CHECKING:
    from codec.cli.encode import EncodeOptions

# Sound taken from a file at once: long, since the networks are fastest on many frames.
_BLOCK_SECONDS = 5.12
_MAX_BLOCK_SAMPLES = 1 << 20


def encode_file(source: str, target: str, options: EncodeOptions, console: Console, stop: Stop) -> Report:
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
    with _open_sound(source, options, stop) as (reader, live):
        with AtomicFile(target, options.force) as file:
            encoding = _Encoding(reader, file, options, stop if not live else None)
            total = reader.frames / reader.sample_rate if reader.frames is not None else None
            with console.progress(reader.name, total) as advance:
                for samples in encoding.run():
                    advance(samples / reader.sample_rate)
        if encoding.cut:
            raise _too_long(f"{reader.name} was coded up to there, but", options)
        return encoding.report(stop.reason)


class _Encoding:
    """One running encoding, which signals break off, unless `stop` is None."""

    def __init__(
        self, reader: AudioReader, file: AtomicFile, options: EncodeOptions, stop: Stop | None
    ) -> None:
        self.cut = False
        self._reader = reader
        self._file = file
        self._stop = stop
        self._limit = int(min(options.max_duration * reader.sample_rate, 2.0**62))
        self._samples = 0
        self._encoder = StreamEncoder(
            cached_model(options.model),
            reader.sample_rate,
            reader.channels,
            bitrate=options.bitrate,
            num_codebooks=options.codebooks,
            packet_ms=options.packet_ms,
        )
        self._started = time.perf_counter()

    def run(self) -> Iterator[int]:
        """Encode everything; yields the samples of each step."""
        seconds = int(_BLOCK_SECONDS * self._reader.sample_rate)
        block = min(seconds, _MAX_BLOCK_SAMPLES // self._reader.channels)
        while not self.cut and len(pcm := self._reader.read(block)):
            self.cut = self._samples + len(pcm) > self._limit
            pcm = pcm[: self._limit - self._samples]
            self._samples += len(pcm)
            self._write(self._encoder.push(pcm))
            yield len(pcm)
        self._write(self._encoder.flush())

    def report(self, ended_by: str | None) -> Report:
        """How it went."""
        reader, header = self._reader, self._encoder.header
        payload, container = self._encoder.payload_bytes, self._encoder.container_bytes
        return Report(
            input=reader.name,
            output=self._file.name,
            seconds=self._samples / reader.sample_rate,
            samples=self._samples,
            sample_rate=reader.sample_rate,
            channels=reader.channels,
            model=header.model_name,
            model_id=header.model_id.hex(),
            mode=header.mode,
            codebooks=header.num_codebooks,
            file_bytes=payload + container,
            payload_bits=8 * payload,
            container_bits=8 * container,
            elapsed=time.perf_counter() - self._started,
            ended_by=ended_by,
            # Whoever ends a recording knows that its input is cut.
            warnings=[] if ended_by else list(reader.warnings),
        )

    def _write(self, parts: list[bytes]) -> None:
        with self._stop.raising() if self._stop else nullcontext():
            for part in parts:
                self._file.write(part)


@contextmanager
def _open_sound(source: str, options: EncodeOptions, stop: Stop) -> Iterator[tuple[AudioReader, bool]]:
    """The sound, and whether it is live: then a signal is its end, and its length may come as a surprise."""
    if not is_live(source):
        with AudioReader(source, options.raw, options.max_duration) as reader:
            yield reader, False
        return
    with open_input(source, stop) as stream, AudioReader(stream, options.raw, float("inf")) as reader:
        if (reader.frames or 0) > options.max_duration * reader.sample_rate:
            raise _too_long(reader.name, options)
        yield reader, True


def _too_long(what: str, options: EncodeOptions) -> CodecError:
    return CodecError(f"{what} lasts longer than {options.max_duration:g} s: allow more with --max-duration")
