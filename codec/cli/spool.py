"""Sound from a pipe kept on disk, for those who need it twice."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from codec.audio_read import AudioReader
from codec.errors import CodecError
from codec.pcm import RawFormat, Samples, from_bytes, to_bytes

_SUBTYPE = "f32le"


class Spool:
    """Samples in a temporary file, which has no name, so that nothing is left of it; a context manager.

    Args:
        reader: what the samples come from.
    """

    def __init__(self, reader: AudioReader) -> None:
        self._layout = RawFormat(reader.sample_rate, reader.channels, _SUBTYPE)
        self._name = reader.name
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def write(self, pcm: Samples) -> None:
        """Keep samples `[n, C]`; raises CodecError if the disk is full."""
        rest = memoryview(to_bytes(pcm, _SUBTYPE))
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            place = tempfile.gettempdir()
            raise CodecError(
                f"{self._name} does not fit into {place}: set TMPDIR to a larger folder"
            ) from error

    def blocks(self, frames: int) -> Iterator[Samples]:
        """All samples from the first on, in pieces of up to `frames`."""
        self._file.seek(0)
        while data := self._file.read(frames * self._layout.frame_bytes):
            yield from_bytes(data, _SUBTYPE, self._layout.channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
