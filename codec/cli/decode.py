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
from codec.cli.times import parse_time
from codec.errors import UsageError

_Subtype = Annotated[
    str | None,
    typer.Option(
        help="Sample format: PCM_16, PCM_24, FLOAT ... of a file, s16le, s24le, f32le ... with --raw; by "
        "default 16 bits.",
        show_default=False,
    ),
]
_Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Begin there: seconds or [hh:]mm:ss. Only what is needed of the file is read.",
        show_default=False,
    ),
]
_Duration = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Decode no more than this, written likewise.", show_default=False),
]
_Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a damaged bitstream: write no sound and exit with 1.")
]
_Report = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Write a JSON file that lists the damaged spans, with or without --strict.",
        show_default=False,
    ),
]
_Loss = Annotated[
    str | None,
    typer.Option(
        metavar="RATE|FILE",
        help="Lose blocks as a network would lose packets: 10%, 10%:3 in bursts of 3 on average, or a file "
        "of 0 and 1, a character for each block. How long they are --packet-ms tells when they are encoded.",
        show_default=False,
    ),
]
_LossSeed = Annotated[int, typer.Option(min=0, help="Another seed loses other blocks.")]


@dataclass(frozen=True)
class Span:
    """A part of the sound, in seconds; `duration` None goes on to the end."""

    start: float
    duration: float | None


@dataclass(frozen=True)
class DecodeOptions:
    """The options that concern each file."""

    model: str | None
    raw: bool
    subtype: str | None
    span: Span | None
    strict: bool
    report: str | None
    loss: str | None
    loss_seed: int
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
    subtype: _Subtype = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write samples without a header.")] = False,
    start: _Start = None,
    duration: _Duration = None,
    strict: _Strict = False,
    report: _Report = None,
    loss: _Loss = None,
    loss_seed: _LossSeed = 0,
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
    span = _span(start, duration)
    if span is not None and loss is not None:
        raise UsageError("--loss plays the whole stream: leave out --start and --duration")
    options = DecodeOptions(model, raw, subtype, span, strict, report, loss, loss_seed, force)
    console = Console(quiet, as_json, stdout_is_audio=target == STANDARD)
    if recursive:
        for option, given in (("--raw", raw), ("--report", report), ("--start or --duration", span)):
            if given:
                raise UsageError(f"{option} goes with a single file: leave -r out")
        return code_folder(partial(_decode_job, options), source, target, (SUFFIX,), ".wav", jobs, console)
    # Before anything heavy is loaded: a recording may be ended while that goes on.
    with Stop() as stop:
        from codec.cli.decoding import decode_file

        done = decode_file(source, target, options, console, stop)
    return tell(done, console)


def _span(start: str | None, duration: str | None) -> Span | None:
    if start is None and duration is None:
        return None
    seconds = None if duration is None else parse_time(duration, "--duration")
    return Span(parse_time(start or "0", "--start"), seconds)


def _decode_job(options: DecodeOptions, job: Job) -> Report:
    from codec.cli.decoding import decode_file

    with Stop() as stop:
        return decode_file(job.source, job.target, options, Console(quiet=True), stop)
