"""Bytes from files and pipes, in such a way that a signal can end a live input properly."""

from __future__ import annotations

import fcntl
import io
import os
import stat
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codec.cli.signals import Stop
from codec.errors import CodecError, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STANDARD = "-"
_STDIN = 0


class Input(io.RawIOBase):
    """Bytes from a file descriptor, as many as are there.

    Attributes:
        name: what messages call it.
        live: whether it is a pipe, a terminal or a device, which nobody can read again from the start. A
            signal is then the end of it, behind what has arrived already.
        size: bytes of a file, None for a live input.
    """

    def __init__(self, fd: int, name: str, stop: Stop) -> None:
        super().__init__()
        self.name = name
        status = os.fstat(fd)
        self.live = not stat.S_ISREG(status.st_mode)
        self.size = None if self.live else status.st_size
        self._fd = fd
        # Whoever shares a file as standard input may have read of it already: what is left is then the input.
        self._seekable = not self.live and os.lseek(fd, 0, os.SEEK_CUR) == 0
        self._stop = stop
        self._arrived: int | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether this is a file, and was at its start."""
        return self._seekable

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another byte of a file; returns its position."""
        if not self._seekable:
            raise io.UnsupportedOperation(f"{self.name} cannot be seeked")
        return os.lseek(self._fd, offset, whence)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read at most as much as `buffer` holds; 0 at the end.

        Raises:
            Interrupted: a signal came, and this is a file.
        """
        if self._stop.wait_readable(self._fd):
            return os.readv(self._fd, [buffer])
        if not self.live:
            self._stop.check()
        if self._arrived is None:
            self._arrived = _bytes_waiting(self._fd)
        count = os.readv(self._fd, [memoryview(buffer).cast("B")[: self._arrived]]) if self._arrived else 0
        self._arrived -= count
        return count


def _bytes_waiting(fd: int) -> int:
    """How much of a pipe or terminal can be read without waiting; 0 for devices that do not tell."""
    try:
        (waiting,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    except OSError:
        return 0
    return int(waiting)


@contextmanager
def open_input(source: str, stop: Stop) -> Iterator[Input]:
    """Open a file or a named pipe, or standard input for `-`.

    Raises:
        CodecError: there is no such file, or it cannot be read.
        UsageError: it is a folder, or standard input is closed.
    """
    if source == STANDARD:
        if sys.stdin is None:
            raise UsageError("standard input is closed: give a file, or send something through a pipe")
        yield Input(_STDIN, "standard input", stop)
        return
    if os.path.isdir(source):
        raise UsageError(f"{source} is a folder: give a file, or -r for all files in a folder")
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CodecError(f"{source} does not exist: check its name") from error
    except OSError as error:
        raise CodecError(f"{source} cannot be opened ({error.strerror}): check its permissions") from error
    try:
        yield Input(fd, source, stop)
    finally:
        os.close(fd)


def refuse_bad_ends(source: str, target: str) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: IN and OUT are one file, or OUT is a terminal.
    """
    if target == STANDARD:
        if sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("standard output is a terminal: name a file, or send it through a pipe")
        return
    try:
        same = os.path.samefile(source, target)
    except OSError:
        return
    if same and os.path.isfile(source):
        raise UsageError(f"{target} is IN itself: give OUT another name")


def is_live(source: str) -> bool:
    """Whether IN is a pipe, a terminal or a device rather than a file, or nothing at all."""
    try:
        mode = os.fstat(_STDIN).st_mode if source == STANDARD else os.stat(source).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
