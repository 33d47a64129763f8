"""Errors that a user of the codec sees: one sentence that names the file and the remedy."""

from __future__ import annotations


class CodecError(Exception):
    """Bad data or a failed operation; the command line exits with code 1."""

    exit_code = 1


class UsageError(CodecError):
    """A wrong option or argument; the command line exits with code 2."""

    exit_code = 2
