"""Bytes of a sound file, a pipe or raw audio to samples.

Plain WAV and raw samples are read here, from files and pipes alike and as they arrive. Everything else goes
through libsndfile, which has to seek, so that a pipe is spooled to disk first.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import tempfile
from contextlib import ExitStack
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec import wav
from codec.bitstream.metadata import Tags
from codec.errors import CodecError
from codec.pcm import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, RawFormat, from_bytes
from codec.tags import tags_of, tags_of_wav

Samples = NDArray[np.float32]

_MP3 = (b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")
# How FLAC, Ogg, MP3, AIFF, AU, CAF, W64 and big-endian WAV begin: of a pipe nothing else is spooled, since it
# may never end.
_SPOOLED = (b"fLaC", b"OggS", *_MP3, b"FORM", b".snd", b"caff", b"riff", b"RIFX")

_NO_SOUND = "is no sound that can be read: give WAV, FLAC, Ogg or MP3, or say how raw samples are to be read"
_READ_FRAMES = 4096


class Decoder(Protocol):
    """Turns bytes into samples.

    Attributes:
        sample_rate: Hz, 8000 to 192000.
        channels: 1 to 32.
        frames: samples a channel, None if unknown, an estimate for MP3.
        tags: title, artist and the like.
        warning: what follows the name of the source in a warning; known when the end is reached.
    """

    sample_rate: int
    channels: int
    frames: int | None
    tags: Tags
    warning: str | None

    def read(self, frames: int) -> Samples:
        """The next samples `[n, C]`, up to `frames`; none at the end."""


class PcmDecoder:
    """Plain samples from a stream, as they arrive.

    Args:
        stream: stands at the first sample.
        layout: how the samples lie in it.
        declared: bytes of samples that a header promises, None if unknown.
        present: bytes that are there, None for a pipe.
        tags: what the header told beside.
    """

    def __init__(
        self,
        stream: io.RawIOBase,
        layout: RawFormat,
        declared: int | None,
        present: int | None,
        tags: Tags = (),
    ) -> None:
        self.sample_rate = layout.sample_rate
        self.channels = layout.channels
        self.tags = tags
        self.warning: str | None = None
        self._stream = stream
        self._layout = layout
        self._declared = declared
        self._remaining = sys.maxsize if declared is None else declared
        self._rest = b""
        known = [size for size in (declared, present) if size is not None]
        self.frames = min(known) // layout.frame_bytes if known else None

    def read(self, frames: int) -> Samples:
        """The next samples `[n, C]`, up to `frames`: what is there, but at least one."""
        frame_bytes = self._layout.frame_bytes
        wanted = frames * frame_bytes
        while len(self._rest) < frame_bytes <= wanted:
            data = self._stream.read(min(wanted - len(self._rest), self._remaining))
            if not data:
                self._end()
                return np.zeros((0, self.channels), np.float32)
            self._remaining -= len(data)
            self._rest += data
        whole = len(self._rest) // frame_bytes * frame_bytes
        data, self._rest = self._rest[:whole], self._rest[whole:]
        return from_bytes(data, self._layout.subtype, self.channels)

    def _end(self) -> None:
        if self._declared is not None and self._remaining:
            self.warning = f"is cut: {self._remaining} bytes are missing at its end"
        elif self._rest:
            self.warning = f"ends within a sample: its last {len(self._rest)} bytes were left out"


class _SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from start to end.

    soundfile seeks to where it is after every call on a file that can seek; in an Opus file, libsndfile then
    gives other samples near the end.
    """

    def seekable(self) -> bool:
        return False


class LibsndfileDecoder:
    """Everything that libsndfile reads.

    Args:
        fd: descriptor of the file, which stands at its start and can be seeked.
        name: names the file in errors.
        resources: closes the decoder.
    """

    def __init__(self, fd: int, name: str, resources: ExitStack) -> None:
        try:
            # By descriptor: libsndfile believes the suffix of a name where the content tells nothing.
            self._file = resources.enter_context(_SequentialFile(fd, closefd=False))
        except soundfile.LibsndfileError as error:
            raise CodecError(f"{name} {_NO_SOUND}") from error
        refuse_limits(name, self._file.samplerate, self._file.channels)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.tags = tags_of(self._file)
        self.warning: str | None = None
        # libsndfile gives the largest number where it cannot tell.
        self.frames: int | None = None if self._file.frames >= 2**62 else self._file.frames
        self._position = 0

    def read(self, frames: int) -> Samples:
        """The next samples `[n, C]`, at most `frames`, none at the end; damage ends the sound."""
        try:
            # A damaged file loses all that is asked for at once, so not much is.
            pcm: Samples = self._file.read(min(frames, _READ_FRAMES), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            pcm = np.zeros((0, self.channels), np.float32)
        self._position += len(pcm)
        # An MP3 does not say how long it is, and the estimate may be too long.
        promised = 0 if self._file.format == "MP3" else self.frames or 0
        if not len(pcm) and self._position < promised:
            seconds = self._position / self.sample_rate
            self.warning = f"is cut or damaged: only its first {seconds:.3f} s can be read"
        return pcm


def choose_decoder(stream: io.RawIOBase, name: str, raw: RawFormat | None, resources: ExitStack) -> Decoder:
    """Look at the first bytes of a stream and decide who reads it.

    Args:
        stream: a file at its start, a pipe, or any stream whose `read(n)` returns what is there.
        name: names the stream in errors.
        raw: how to read samples without a header, or None to look for one.
        resources: closes what is opened here.

    Raises:
        CodecError: the stream is empty or no sound, or its rate or channels are out of the limits.
    """
    size = _file_size(stream)
    start = b"" if raw or size == 0 else _read_start(stream)
    if size == 0 or not (raw or start):
        raise CodecError(f"{name} is empty: check how it was made")
    if raw:
        return PcmDecoder(stream, raw, None, size)
    if wav.is_wav(start):
        header = wav.read_header(stream.read, name, start)
        if header.subtype is not None:
            return _decode_wav(stream, name, header, header.subtype, size)
        start = header.consumed
    elif size is None and not start.startswith(_SPOOLED):
        raise CodecError(f"{name} {_NO_SOUND}")
    if size is None:
        stream = _spool(stream, name, start, resources)
    stream.seek(0)
    return LibsndfileDecoder(stream.fileno(), name, resources)


def refuse_limits(name: str, sample_rate: int, channels: int) -> None:
    """Raise CodecError unless there are 1 to 32 channels of 8000 to 192000 Hz."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise CodecError(f"{name} has {channels} channels: give 1 to {MAX_CHANNELS}")
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise CodecError(
            f"{name} has {sample_rate} Hz: convert it to {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        )


def _decode_wav(
    stream: io.RawIOBase, name: str, header: wav.WavHeader, subtype: str, size: int | None
) -> PcmDecoder:
    """The plain samples that follow a header."""
    refuse_limits(name, header.sample_rate, header.channels)
    layout = RawFormat(header.sample_rate, header.channels, subtype)
    if size is None:
        return PcmDecoder(stream, layout, header.data_bytes, None, tags_of_wav(header.consumed))
    # In a file, tags may stand behind the samples.
    stream.seek(0)
    tags = tags_of_wav(stream.fileno())
    stream.seek(len(header.consumed))
    return PcmDecoder(stream, layout, header.data_bytes, size - len(header.consumed), tags)


def _file_size(stream: io.RawIOBase) -> int | None:
    """Bytes of a file that stands at its start, None for a pipe, a device or a foreign stream."""
    if not isinstance(stream, io.FileIO):
        return None
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) and stream.tell() == 0 else None


def _read_start(stream: io.RawIOBase) -> bytes:
    """The first 12 bytes, fewer where the end comes before."""
    start = b""
    while len(start) < 12 and (data := stream.read(12 - len(start))):
        start += data
    return start


def _spool(stream: io.RawIOBase, name: str, consumed: bytes, resources: ExitStack) -> io.RawIOBase:
    """Copy a pipe, and what was read of it already, to a temporary file that has no name."""
    try:
        file = resources.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        data: bytes | None = consumed
        while data:
            file.write(data)
            data = stream.read(1 << 20)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        place = tempfile.gettempdir()
        raise CodecError(f"{name} does not fit into {place}: set TMPDIR to a larger folder") from error
    return file
