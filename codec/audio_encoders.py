"""Samples to the bytes of a sound file, a pipe or raw audio.

Plain WAV and raw samples are written here, to files and pipes alike; everything else goes through libsndfile,
which has to seek.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec import wav
from codec.bitstream.metadata import Tags
from codec.errors import CodecError, UsageError
from codec.pcm import RawFormat, quantize, to_bytes
from codec.tags import info_list, set_tags

Samples = NDArray[np.float32]

_INTEGER_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
# The Vorbis encoder puts all samples of a call on the stack, and crashes where that ends.
_MAX_CALL = 1 << 16


class ByteSink(Protocol):
    """Where the bytes go: a file, or a pipe that cannot seek.

    Attributes:
        name: as messages name it.
        seekable: whether `seek` and `tell` work.
    """

    name: str
    seekable: bool

    def write(self, data: bytes) -> int:
        """Write all of `data`; returns its length."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another byte; returns its position."""

    def tell(self) -> int:
        """The position in bytes."""


class Encoder(Protocol):
    """Turns samples into bytes."""

    def write(self, pcm: Samples) -> None:
        """Write samples `[n, C]`."""

    def finish(self) -> None:
        """Write what is held back, and the header again where it tells the length."""


@dataclass(frozen=True)
class SoundLayout:
    """A sound file in libsndfile's terms: the names of container and subtype, rate in Hz, channels."""

    container: str
    subtype: str
    sample_rate: int
    channels: int


class RawEncoder:
    """Samples without a header."""

    def __init__(self, sink: ByteSink, layout: RawFormat) -> None:
        self._sink = sink
        self._layout = layout

    def write(self, pcm: Samples) -> None:
        """Write samples `[n, C]`."""
        self._sink.write(to_bytes(pcm, self._layout.subtype))

    def finish(self) -> None:
        """Nothing is held back."""


class WavEncoder:
    """WAV, and RF64 beyond 4 GiB; to a pipe with an unknown length."""

    def __init__(self, sink: ByteSink, layout: RawFormat, tags: Tags = ()) -> None:
        self._sink = sink
        self._layout = layout
        self._tags = info_list(tags)
        self._data_bytes = 0
        sink.write(wav.build_header(layout, 0 if sink.seekable else None, self._tags))

    def write(self, pcm: Samples) -> None:
        """Write samples `[n, C]`."""
        self._data_bytes += self._sink.write(to_bytes(pcm, self._layout.subtype))

    def finish(self) -> None:
        """Tell the length, where the sink can seek."""
        if self._sink.seekable:
            self._sink.write(bytes(self._data_bytes % 2))
            self._sink.seek(0)
            self._sink.write(wav.build_header(self._layout, self._data_bytes, self._tags))


class LibsndfileEncoder:
    """FLAC, Ogg and MP3.

    Raises:
        UsageError: the format does not take this rate or number of channels.
    """

    def __init__(self, sink: ByteSink, layout: SoundLayout, tags: Tags = ()) -> None:
        self._bits = _INTEGER_BITS.get(layout.subtype)
        self._piece = _MAX_CALL // layout.channels
        self._name = sink.name
        self._layout = layout
        self._guard = _Guard(sink)
        try:
            self._file = soundfile.SoundFile(
                self._guard,
                "w",
                layout.sample_rate,
                layout.channels,
                layout.subtype,
                format=layout.container,
            )
        except soundfile.LibsndfileError as error:
            self._guard.raise_failure()
            raise UsageError(
                f"{sink.name} cannot hold {layout.channels} channel(s) of {layout.sample_rate} Hz as "
                f"{layout.subtype}: use .wav"
            ) from error
        set_tags(self._file, tags)

    def write(self, pcm: Samples) -> None:
        """Write samples `[n, C]` within -1 to 1."""
        for start in range(0, len(pcm), self._piece):
            piece = pcm[start : start + self._piece]
            # Rounded here, since libsndfile cuts off; it takes integers from the upper end of 32 bits.
            words = piece if self._bits is None else quantize(piece, self._bits) << (32 - self._bits)
            self._call(self._file.write, np.ascontiguousarray(words))

    def finish(self) -> None:
        """Write what is held back.

        Raises:
            CodecError: there were no samples, of which libsndfile makes a file that it cannot read.
        """
        if not self._file.frames and self._layout.subtype != "VORBIS":
            raise CodecError(
                f"{self._name} would hold no samples, which it cannot as {self._layout.subtype}: use .wav"
            )
        self._call(self._file.close)

    def _call(self, function: Callable[..., None], *arguments: NDArray[np.float32 | np.int32]) -> None:
        """Call libsndfile, which tells of some failures to write in odd ways and of others not at all."""
        try:
            function(*arguments)
        except (soundfile.LibsndfileError, AssertionError):
            self._guard.raise_failure()
            raise
        self._guard.raise_failure()


class _Guard:
    """A file for libsndfile: an exception, which cannot pass through C, is kept and raised after the call."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        return self._keep(lambda: self._sink.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._keep(lambda: self._sink.seek(offset, whence))

    def tell(self) -> int:
        return self._keep(self._sink.tell)

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _keep(self, operation: Callable[[], int]) -> int:
        if self._failure is not None:
            return 0
        try:
            return operation()
        except BaseException as failure:
            self._failure = failure
            return 0
