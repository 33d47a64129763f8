"""Keeps the state of a training on disk, and lets a signal end the training without losing any."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from codec.errors import CodecError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TrainingStopped(CodecError):
    """A signal ended a training, whose state was saved; the exit code is that of the signal."""

    def __init__(self, number: int, step: int, state: Path) -> None:
        name = signal.Signals(number).name
        super().__init__(f"ended by {name} after step {step}, nothing is lost: go on with --resume ({state})")
        self.exit_code = 128 + number


class StateSaver(Callback):
    """Saves the whole state every so many minutes, and at the end.

    SIGINT, SIGTERM and SIGHUP end the training after the step that they come in; a second one strikes at
    once. Lightning's ModelCheckpoint never saves by time under manual optimization (seen in 2.6: it returns
    before it looks at the clock), and Lightning itself gives up the state on signals.

    Args:
        path: where the state goes; it is replaced as a whole.
        minutes: time between two saves.
        stop_after: minutes from now after which the training pauses, or None.

    Attributes:
        received: the number of the signal that ended the training, or None.
        paused: whether its time was up.
    """

    def __init__(self, path: Path, minutes: float, stop_after: float | None = None) -> None:
        self.path = path
        self.seconds = 60.0 * minutes
        self.received: int | None = None
        self.paused = False
        self._end = None if stop_after is None else time.monotonic() + 60.0 * stop_after
        self._last = time.monotonic()
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock, and take the signals over from Lightning, which has just set its own handlers."""
        self._last = time.monotonic()
        # Only the main thread may set handlers; elsewhere the signals keep their own meaning.
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            # nohup asks for SIGHUP to be ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """End after a signal to any rank; pause or save where it is time, by the first rank's clock."""
        now = time.monotonic()
        pauses = self._end is not None and now >= self._end
        self.paused, saves = trainer.strategy.broadcast((pauses, now - self._last >= self.seconds))
        signalled = trainer.strategy.reduce_boolean_decision(self.received is not None, all=False)
        if signalled or self.paused:
            trainer.should_stop = True
        elif saves:
            trainer.save_checkpoint(self.path)
            self._last = time.monotonic()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save what the training came to, and give the signals back before Lightning does."""
        trainer.save_checkpoint(self.path)
        self._restore()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
