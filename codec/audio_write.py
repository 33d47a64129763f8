"""Audio out, block by block, to files and pipes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from codec.atomic import AtomicFile
from codec.audio_encoders import (
    Encoder,
    LibsndfileEncoder,
    RawEncoder,
    Samples,
    SoundLayout,
    WavEncoder,
)
from codec.bitstream.metadata import Tags
from codec.errors import UsageError
from codec.pcm import RawFormat

Target = str | os.PathLike[str] | io.RawIOBase

# The sample formats of WAV by libsndfile's names, the default first.
_PLAIN = {
    "PCM_16": "s16le",
    "PCM_24": "s24le",
    "PCM_32": "s32le",
    "PCM_U8": "u8",
    "FLOAT": "f32le",
    "DOUBLE": "f64le",
}
_FLOATING = ("FLOAT", "DOUBLE", "f32le", "f64le")
# Suffix: libsndfile's names of the container and of the subtypes that it may hold, the default first.
_CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    ".wav": ("WAV", tuple(_PLAIN)),
    ".flac": ("FLAC", ("PCM_16", "PCM_24", "PCM_S8")),
    ".ogg": ("OGG", ("VORBIS", "OPUS")),
    ".opus": ("OGG", ("OPUS",)),
    ".mp3": ("MP3", ("MPEG_LAYER_III",)),
}


class AudioWriter:
    """Writes float32 samples to a file that appears whole or not at all; a context manager like `AtomicFile`.

    Integers are rounded, half to even. WAV becomes RF64 beyond 4 GiB; a pipe gets a WAV of unknown length.

    Args:
        target: path, whose suffix picks WAV, FLAC, Ogg (Vorbis or Opus) or MP3; `"-"` for standard output, or
            an open stream: these take WAV or raw samples.
        sample_rate: Hz.
        channels: 1 to 32, as far as the container takes them.
        subtype: libsndfile's name of the sample format, `"PCM_24"` or `"FLOAT"` for example; 16 bits if None.
        force: replace an existing file.
        raw: write samples without a header in this format; its rate and channels are those above.
        tags: title, artist and the like, of which the container keeps what it can.

    Attributes:
        name: the target, as messages name it.

    Raises:
        UsageError: the suffix or subtype is unknown, the container does not take the sound, or the target
            cannot be written (see `AtomicFile`).
        CodecError: the disk is full (from any method that writes).
        BrokenPipeError: the reader of a pipe has closed it.
    """

    def __init__(
        self,
        target: Target,
        sample_rate: int,
        channels: int,
        subtype: str | None = None,
        force: bool = False,
        raw: RawFormat | None = None,
        tags: Tags = (),
    ) -> None:
        if raw is not None and (raw.sample_rate, raw.channels) != (sample_rate, channels):
            raise ValueError(f"{raw} contradicts {sample_rate} Hz and {channels} channels")
        self.channels = channels
        self._closed = False
        self._sink = _StreamSink(target) if isinstance(target, io.RawIOBase) else AtomicFile(target, force)
        self.name = self._sink.name
        try:
            layout = raw or _choose_layout(self._sink, sample_rate, channels, subtype)
            self._encoder = _choose_encoder(self._sink, layout, tags)
            self._keeps_all = layout.subtype in _FLOATING
        except BaseException:
            self.abort()
            raise

    def write(self, pcm: Samples) -> None:
        """Write samples `[n, C]`; formats of floating point keep what lies beyond -1 to 1, others cut it.

        Raises:
            ValueError: the array has another number of channels.
        """
        if pcm.ndim != 2 or pcm.shape[1] != self.channels:
            raise ValueError(f"expected samples [n, {self.channels}], got {list(pcm.shape)}")
        if not self._keeps_all:
            pcm = np.clip(pcm, -1.0, 1.0)
        self._encoder.write(pcm)

    def close(self) -> None:
        """Finish the file and let it appear under its name; no-op after a close or an abort."""
        if self._closed:
            return
        self._closed = True
        try:
            self._encoder.finish()
            self._sink.commit()
        except BaseException:
            self._sink.abort()
            raise

    def abort(self) -> None:
        """Remove what was written; no-op after a close or an abort."""
        self._closed = True
        self._sink.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class _StreamSink:
    """An open stream in the place of an `AtomicFile`; its owner closes it."""

    seekable = False

    def __init__(self, stream: io.RawIOBase) -> None:
        self.name = str(getattr(stream, "name", "the output"))
        self._stream = stream

    def write(self, data: bytes) -> int:
        """All of the bytes, however few the stream takes at a time."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) or 0 :]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")

    def commit(self) -> None:
        pass

    def abort(self) -> None:
        pass


def _choose_layout(
    sink: AtomicFile | _StreamSink, sample_rate: int, channels: int, subtype: str | None
) -> SoundLayout:
    """What the suffix and the subtype ask for; a pipe has no suffix and takes WAV."""
    suffix = Path(sink.name).suffix.lower()
    if not sink.seekable and suffix not in _CONTAINERS:
        suffix = ".wav"
    if suffix not in _CONTAINERS:
        raise UsageError(f"{sink.name} has no suffix of a sound file: use one of {', '.join(_CONTAINERS)}")
    container, subtypes = _CONTAINERS[suffix]
    if not sink.seekable and container != "WAV":
        raise UsageError(f"{sink.name} is a pipe and cannot take {container}: write WAV or raw samples to it")
    chosen = subtypes[0] if subtype is None else subtype.upper()
    if chosen not in subtypes:
        raise UsageError(f"{sink.name} cannot hold {subtype}: {suffix} takes {', '.join(subtypes)}")
    return SoundLayout(container, chosen, sample_rate, channels)


def _choose_encoder(sink: AtomicFile | _StreamSink, layout: RawFormat | SoundLayout, tags: Tags) -> Encoder:
    if isinstance(layout, RawFormat):
        return RawEncoder(sink, layout)
    if layout.container != "WAV":
        return LibsndfileEncoder(sink, layout, tags)
    return WavEncoder(sink, RawFormat(layout.sample_rate, layout.channels, _PLAIN[layout.subtype]), tags)
