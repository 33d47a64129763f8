"""Audio in, block by block, from files and pipes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import numpy as np

from codec.audio_decoders import Samples, choose_decoder
from codec.errors import CodecError, UsageError
from codec.pcm import RawFormat

Source = str | os.PathLike[str] | io.RawIOBase

DEFAULT_MAX_DURATION = 24 * 3600.0
DEFAULT_BLOCK = 65536


class AudioReader:
    """Reads sound as float32 samples, integers scaled to -1 to 1. A context manager.

    Args:
        source: path, `"-"` for standard input, or an open stream whose `read(n)` returns what is there, up to
            n bytes; a stream is not closed.
        raw: how to read samples that have no header.
        max_duration: the longest sound that is accepted, in seconds.

    Attributes:
        name: the source, as messages name it.
        sample_rate: Hz.
        channels: 1 to 32.
        frames: how many samples a channel has, None where the source does not tell; an estimate for MP3.
        tags: title, artist and the like, keys as libsndfile names them.
        warnings: what was wrong with the source but could be handled; complete when the end is reached.

    Raises:
        UsageError: the source is a folder, or standard input is closed.
        CodecError: it is missing, empty or no sound that can be read, it is too long, or it is outside of
            8000 to 192000 Hz and 32 channels.
    """

    def __init__(
        self, source: Source, raw: RawFormat | None = None, max_duration: float = DEFAULT_MAX_DURATION
    ) -> None:
        self.name = _name_of(source)
        self.warnings: list[str] = []
        self._max_duration = max_duration
        self._position = 0
        with ExitStack() as resources:
            stream = _open_stream(source, self.name, resources)
            with _system_errors(self.name):
                self._decoder = choose_decoder(stream, self.name, raw, resources)
            self.sample_rate = self._decoder.sample_rate
            self.channels = self._decoder.channels
            self.frames = self._decoder.frames
            self.tags = self._decoder.tags
            self._refuse_too_long(self.frames or 0)
            self._resources = resources.pop_all()

    def read(self, frames: int) -> Samples:
        """The next samples `[n, C]`, none at the end.

        A file gives as many as asked for, up to its end; a pipe what is there, but at least one.

        Raises:
            CodecError: a sample is NaN or infinite, the sound is longer than allowed, or the disk fails.
        """
        with _system_errors(self.name):
            pcm = self._decoder.read(frames)
        if self._decoder.warning:
            self.warnings.append(f"{self.name} {self._decoder.warning}")
            self._decoder.warning = None
        self._refuse_not_finite(pcm)
        self._position += len(pcm)
        self._refuse_too_long(self._position)
        return pcm

    def blocks(self, frames: int = DEFAULT_BLOCK) -> Iterator[Samples]:
        """All samples from here on, in pieces of up to `frames`."""
        while len(pcm := self.read(frames)):
            yield pcm

    def close(self) -> None:
        """Close the file; a stream that was handed in stays open."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_not_finite(self, pcm: Samples) -> None:
        finite = np.isfinite(pcm)
        if finite.all():
            return
        row, channel = np.argwhere(~finite)[0]
        sample = self._position + int(row)
        raise CodecError(
            f"{self.name} holds {pcm[row, channel]} at sample {sample} ({sample / self.sample_rate:.3f} s), "
            f"channel {channel + 1}: repair it first"
        )

    def _refuse_too_long(self, frames: int) -> None:
        if frames > self._max_duration * self.sample_rate:
            raise CodecError(
                f"{self.name} lasts longer than {self._max_duration:g} s: allow more with --max-duration"
            )


def _name_of(source: Source) -> str:
    if isinstance(source, io.RawIOBase):
        return str(getattr(source, "name", "the input"))
    return "standard input" if os.fspath(source) == "-" else os.fspath(source)


def _open_stream(source: Source, name: str, resources: ExitStack) -> io.RawIOBase:
    """The bytes of a source, unbuffered: a buffer would wait until it is full."""
    if isinstance(source, io.RawIOBase):
        return source
    if os.fspath(source) == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise UsageError("standard input is closed: give a file, or send something through a pipe")
        return resources.enter_context(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    if os.path.isdir(source):
        raise UsageError(f"{name} is a folder: give a file")
    try:
        return resources.enter_context(open(source, "rb", buffering=0))
    except FileNotFoundError as error:
        raise CodecError(f"{name} does not exist: check its name") from error
    except OSError as error:
        raise CodecError(f"{name} cannot be opened ({error.strerror}): check its permissions") from error


@contextmanager
def _system_errors(name: str) -> Iterator[None]:
    """Turn what the system says of a failing disk or an odd device into one sentence."""
    try:
        yield
    except OSError as error:
        raise CodecError(f"{name} cannot be read ({error.strerror}): check the disk") from error
