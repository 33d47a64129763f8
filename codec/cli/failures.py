"""Every exception as one sentence and an exit code."""

from __future__ import annotations

import os

import typer

from codec.cli.signals import Interrupted
from codec.errors import CodecError

# What typer raises for a command line it cannot read: a class of its own or of click, by version.
_BadCommandLine = typer.BadParameter.__mro__[1]


def explain(error: BaseException) -> tuple[str, int]:
    """Return the sentence for the user and the exit code."""
    if isinstance(error, CodecError | Interrupted):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "ended by SIGINT", 130
    if isinstance(error, _BadCommandLine):
        return _explain_usage(error), 2
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        where = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
        return f"{where}{error.strerror}", 1
    if isinstance(error, MemoryError):
        return "out of memory: close other programs, or use fewer --jobs", 1
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"unexpected {what}; please report it with the command line and what CODEC_DEBUG=1 shows", 1


def _explain_usage(error: BaseException) -> str:
    message = str(getattr(error, "format_message", error.__str__)()).rstrip(". \n")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "codec"
    return f"{message[:1].lower()}{message[1:]}; see '{command} --help'"
