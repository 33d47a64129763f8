"""What people and scripts see: sentences and progress on standard error, JSON on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Advance = Callable[[float], None]
"""Called with the amount done since the last call."""


@dataclass
class Console:
    """The voice of one command.

    Attributes:
        quiet: no summaries and no progress; warnings and errors stay.
        json: one JSON object takes the place of summaries and warnings.
        stdout_is_audio: the JSON object goes to standard error, because the data goes to standard output.
        warnings: every warning so far.
    """

    quiet: bool = False
    json: bool = False
    stdout_is_audio: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Tell of something that went another way than asked, but went."""
        self.warnings.append(sentence)
        if not self.json:
            say(f"codec: warning: {sentence}")

    def note(self, sentence: str) -> None:
        """Say how it went."""
        if not self.quiet and not self.json:
            say(sentence)

    def report(self, values: Mapping[str, Any]) -> None:
        """Write the JSON object, if it was asked for."""
        if self.json:
            stream = sys.stderr if self.stdout_is_audio else sys.stdout
            print(json.dumps({**values, "warnings": self.warnings}), file=stream, flush=True)

    @contextmanager
    def progress(self, description: str, total: float | None) -> Iterator[Advance]:
        """Show a bar on standard error while the block runs, if that is a terminal.

        Args:
            description: what is being worked on.
            total: amount of all work, None if unknown.
        """
        if self.quiet or self.json or sys.stderr is None or not sys.stderr.isatty():
            yield lambda amount: None
            return
        from rich.console import Console as Terminal
        from rich.progress import Progress

        with Progress(console=Terminal(stderr=True), transient=True) as bar:
            task = bar.add_task(printable(description), total=total)
            yield lambda amount: bar.advance(task, amount)


def say(line: str) -> None:
    """Print one line on standard error; where nobody can read it, nothing happens."""
    # print() takes a missing standard error for standard output, which may carry audio.
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(printable(line), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text on one line, with control characters (a file name may hold any) made visible."""
    return "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text)


def count(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
