"""SIGINT and SIGTERM as a question that loops and waits ask, so that nothing is torn in the middle."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_Handler = Callable[[int, FrameType | None], Any] | int | None

# `timeout` and terminals may deliver one wish to end twice; only a later signal is a second wish.
_SAME_WISH_SECONDS = 1.0


class Interrupted(BaseException):
    """The user ended the command; not an Exception, so that no handler of errors takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number

    def __str__(self) -> str:
        return f"ended by {signal.Signals(self.args[0]).name}"


class Stop:
    """Keeps SIGINT, SIGTERM and SIGHUP from ending the process inside a `with` block.

    The first of them is kept in `received`, ends `wait_readable` and lets `check` raise. One that comes a
    second or more later raises where it strikes, so that a command that hangs can always be ended.

    Attributes:
        received: the number of the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._received_at = 0.0
        self._impatient = False
        self._before: dict[int, _Handler] = {}
        self._wake: tuple[int, int] | None = None
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere the signals keep their own meaning.
        if threading.current_thread() is not threading.main_thread():
            return self
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup asks for SIGHUP to be ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._wake is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            for end in self._wake:
                os.close(end)
            self._wake = None

    @property
    def reason(self) -> str | None:
        """The name of the signal that came, or None."""
        return None if self.received is None else signal.Signals(self.received).name

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.received is not None:
            raise Interrupted(self.received)

    def wait_readable(self, fd: int) -> bool:
        """Wait for data or the end of `fd`; False if a signal came instead."""
        wake = [] if self._wake is None else [self._wake[0]]
        while self.received is None:
            ready, _, _ = select.select([fd, *wake], [], [])
            if fd in ready:
                return True
        return False

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Inside the block a signal raises Interrupted where it strikes: for waits that cannot be asked."""
        self.check()
        self._impatient = True
        try:
            yield
        finally:
            self._impatient = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = number, now
            if self._impatient:
                raise Interrupted(number)
        elif now - self._received_at >= _SAME_WISH_SECONDS:
            raise Interrupted(number)
