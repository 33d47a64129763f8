"""`codec decode`: a bitstream to sound."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from codec.cli.batch import code_folder
from codec.cli.console import Console
from codec.cli.encode import SUFFIX
from codec.cli.folders import Job
from codec.cli.options import Force, Jobs, Json, ModelOfStream, Quiet, Recursive
from codec.cli.reports import Report, tell
from codec.cli.signals import Stop
from codec.cli.streams import STANDARD
from codec.errors import UsageError


@dataclass(frozen=True)
class DecodeOptions:
    """The options that concern each file."""

    model: str | None
    raw: bool
    subtype: str | None
    strict: bool
    report: str | None
    force: bool


def decode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A bitstream; - is standard input.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="WAV, FLAC, Ogg or MP3, by its suffix; - is standard output, a WAV."
        ),
    ],
    model: ModelOfStream = None,
    subtype: Annotated[
        str | None,
        typer.Option(
            help="Sample format: PCM_16, PCM_24, FLOAT ... of a file, s16le, s24le, f32le ... with --raw; by "
            "default 16 bits.",
            show_default=False,
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write samples without a header.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a damaged bitstream: write no sound and exit with 1.")
    ] = False,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a JSON file that lists the damaged spans, with or without --strict.",
            show_default=False,
        ),
    ] = None,
    recursive: Recursive = False,
    jobs: Jobs = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Decode a bitstream to sound of the original rate, channels, length and tags.

    What is damaged is concealed and told in a warning; the exit code is 0 then. A damaged header is replaced
    by its copy at the end of a file; a pipe with one is refused.

    SIGINT (Ctrl-C) or SIGTERM ends a stream from a pipe properly: OUT is complete up to there, and the exit
    code is 0. While a file is read, they break off: nothing is written, and the exit code is 130 or 143.
    """
    if report == STANDARD:
        raise UsageError("the report goes into a file: name one, or ask for --json")
    options = DecodeOptions(model, raw, subtype, strict, report, force)
    console = Console(quiet, as_json, stdout_is_audio=target == STANDARD)
    if recursive:
        if raw:
            raise UsageError("--raw goes with a single file: leave -r out")
        if report is not None:
            raise UsageError("--report goes with a single file: leave -r out, or ask for --json")
        return code_folder(partial(_decode_job, options), source, target, (SUFFIX,), ".wav", jobs, console)
    # Before anything heavy is loaded: a recording may be ended while that goes on.
    with Stop() as stop:
        from codec.cli.decoding import decode_file

        done = decode_file(source, target, options, console, stop)
    return tell(done, console)


def _decode_job(options: DecodeOptions, job: Job) -> Report:
    from codec.cli.decoding import decode_file

    with Stop() as stop:
        return decode_file(job.source, job.target, options, Console(quiet=True), stop)
