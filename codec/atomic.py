"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from codec.errors import CodecError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class AtomicFile:
    """A binary file written beside its target under another name, and renamed when it is complete.

    As a context manager it commits at the end of the block, and aborts if an exception (an interrupt too)
    leaves it: then nothing remains, and a file that was to be replaced is still there. `"-"` is standard
    output. That, devices and named pipes cannot be replaced: they are written straight through.

    Args:
        target: path, or `"-"`.
        force: replace an existing file. A link is replaced itself, not the file that it leads to.

    Attributes:
        name: the target, as messages name it.
        seekable: whether `seek` works.

    Raises:
        UsageError: the target exists and `force` is off, it is a folder, or its folder is missing or not
            writable.
        CodecError: the disk is full (from any method that writes).
        BrokenPipeError: the reader of a pipe has closed it.
    """

    def __init__(self, target: str | os.PathLike[str], force: bool = False) -> None:
        self._fd = -1
        self._temporary: Path | None = None
        self._target = Path(target)
        self._force = force
        self.name = "standard output" if os.fspath(target) == "-" else os.fspath(target)
        if os.fspath(target) == "-":
            self._fd = _open_stdout()
        elif _is_special(self._target):
            self._fd = self._open(self._target, os.O_WRONLY)
        else:
            self._refuse_bad_target()
            # Short, so that it fits wherever the name of the target does.
            self._temporary = self._target.with_name(f".{secrets.token_hex(8)}.part")
            self._fd = self._open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.seekable = self._temporary is not None

    def write(self, data: bytes) -> int:
        """Write all of `data`, at once and unbuffered; returns its length in bytes."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BrokenPipeError:
                raise
            except OSError as error:
                raise self._write_error(error) from error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another byte; returns its position."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """The position in bytes."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def commit(self) -> None:
        """Let the file appear under its name; no-op after a commit or an abort."""
        if self._fd < 0:
            return
        if self._temporary is None:
            self._close()
            return
        try:
            os.fsync(self._fd)
            self._close()
            if not self._force:
                self._refuse_existing()
            os.replace(self._temporary, self._target)
            self._temporary = None
        except OSError as error:
            raise self._write_error(error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove what was written; no-op after a commit or an abort. What a pipe or device took is gone."""
        self._close()
        if self._temporary is not None:
            with suppress(FileNotFoundError):
                self._temporary.unlink()
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def __del__(self) -> None:
        # An interrupt between construction and the block of a `with` leaves no other chance.
        self.abort()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _open(self, path: Path, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno in _FULL:
                raise self._write_error(error) from error
            raise UsageError(
                f"{self.name} cannot be written ({error.strerror}): choose another place"
            ) from error

    def _refuse_bad_target(self) -> None:
        if os.path.isdir(self._target):
            raise UsageError(f"{self.name} is a folder: name a file in it")
        if not os.path.isdir(self._target.parent):
            raise UsageError(f"{self.name} cannot be written: make the folder {self._target.parent} first")
        if not self._force:
            self._refuse_existing()

    def _refuse_existing(self) -> None:
        if os.path.lexists(self._target):
            raise UsageError(f"{self.name} exists already: replace it with --force, or choose another name")

    def _write_error(self, error: OSError) -> CodecError:
        remedy = "free some space" if error.errno in _FULL else "choose another place"
        return CodecError(f"{self.name} cannot be written ({error.strerror}): {remedy}")


def _open_stdout() -> int:
    """Standard output without Python's buffer, which holds live audio back and fails once more at exit."""
    if sys.stdout is None or sys.stdout.closed:
        raise UsageError("standard output is closed: name a file to write to")
    sys.stdout.flush()
    return os.dup(sys.stdout.fileno())


def _is_special(path: Path) -> bool:
    """Whether a device, a named pipe or a socket is there, rather than a file, a folder or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
