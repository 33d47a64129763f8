"""How `codec transcode` cuts one bitstream down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from codec.atomic import AtomicFile
from codec.bitstream import ContainerReader, Event, StreamEnd
from codec.cli.console import Console, count
from codec.cli.headers import REPAIRED, Opening, read_opening
from codec.cli.models import cached_model
from codec.cli.reports import EncodeReport
from codec.cli.signals import Stop
from codec.cli.streams import Input, open_input, refuse_bad_ends
from codec.cli.times import show_time
from codec.model import CodecModel
from codec.rate import codebooks_for_bitrate
from codec.transcode import Transcoder

if TYPE_CHECKING:
    from codec.cli.transcode import TranscodeOptions

_READ_BYTES = 1 << 16


def transcode_file(
    source: str, target: str, options: TranscodeOptions, console: Console, stop: Stop
) -> EncodeReport:
    """Cut one bitstream down.

    Args:
        source: path, or `-`.
        target: path, or `-`.
        options: see there.
        console: shows the progress.
        stop: ends a live input, and breaks off on a file.

    Raises:
        CodecError: what the reader of the header, the model, Transcoder or AtomicFile refuse; `target` is not
            there then.
        Interrupted: a signal came, and `source` is a file.
    """
    refuse_bad_ends(source, target)
    with open_input(source, stop) as stream:
        opening = read_opening(stream)
        model = cached_model(options.model or opening.header.model_name)
        with AtomicFile(target, options.force) as file:
            transcoding = _Transcoding(stream, opening, model, file, options, stop)
            with console.progress(stream.name, stream.size) as advance:
                for num_bytes in transcoding.run():
                    advance(num_bytes)
        return transcoding.report()


class _Transcoding:
    """One running transcoding."""

    def __init__(
        self,
        stream: Input,
        opening: Opening,
        model: CodecModel,
        file: AtomicFile,
        options: TranscodeOptions,
        stop: Stop,
    ) -> None:
        self._stream = stream
        self._opening = opening
        self._model = model
        self._file = file
        self._stop = stop
        header, keep = opening.header, options.codebooks
        if keep is None:
            assert options.bitrate is not None
            keep = codebooks_for_bitrate(model, options.bitrate, header.channels)
        self._transcoder = Transcoder(model, header, keep, stream.name)
        self._started = time.perf_counter()

    def run(self) -> Iterator[int]:
        """Transcode everything; yields the bytes of each step."""
        reader = ContainerReader(self._stream.name, self._opening.known_header)
        data = self._opening.data
        while data:
            for event in reader.push(data):
                self._take(event)
            yield len(data)
            data = self._stream.read(_READ_BYTES)
        for event in reader.finish():
            self._take(self._as_ended(event))

    def report(self) -> EncodeReport:
        """How it went."""
        transcoder, end = self._transcoder, self._transcoder.end
        assert end is not None  # every reader tells it last
        return EncodeReport(
            input=self._stream.name,
            output=self._file.name,
            header=transcoder.header,
            samples=self._samples(end.num_frames) if end.num_samples is None else end.num_samples,
            file_bytes=transcoder.payload_bytes + transcoder.container_bytes,
            payload_bits=8 * transcoder.payload_bytes,
            container_bits=8 * transcoder.container_bytes,
            elapsed=time.perf_counter() - self._started,
            ended_by=self._stop.reason,
            warnings=self._warnings(),
            raw_index_bits=transcoder.raw_index_bits,
            codebooks_per_frame=transcoder.codebooks_per_frame,
        )

    def _take(self, event: Event) -> None:
        with nullcontext() if self._stream.live else self._stop.raising():
            for part in self._transcoder.take(event):
                self._file.write(part)

    def _as_ended(self, event: Event) -> Event:
        """Where the user ended the stream, it is complete up to there."""
        if not isinstance(event, StreamEnd) or event.num_samples is not None or not self._stop.received:
            return event
        return StreamEnd(event.num_frames, self._samples(event.num_frames), None, None)

    def _samples(self, frames: int) -> int:
        """Samples of a channel that a decoder gets out of so many frames."""
        header = self._opening.header
        return max(frames * header.hop - self._model.delay, 0) * header.sample_rate // header.coded_rate

    def _warnings(self) -> list[str]:
        damage, header, name = self._transcoder.damage, self._opening.header, self._stream.name
        warnings = [f"{name}{REPAIRED}"] if self._opening.repaired else []
        if not self._transcoder.dropped:
            warnings.append(f"{name} sends no more codebooks than are to be kept: none were left out")
        if damage:
            place = show_time(damage[0].position * header.hop / header.coded_rate)
            warnings.append(
                f"{name} is damaged in {count(len(damage), 'place')}, the first at {place} "
                f"({damage[0].reason}), and {self._file.name} is so too"
            )
        return warnings
