"""`codec transcode`: a bitstream to a smaller one."""

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
class TranscodeOptions:
    """The options that concern each file; one of `bitrate` and `codebooks` is None."""

    model: str | None
    bitrate: float | None
    codebooks: int | None
    force: bool


def transcode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A bitstream; - is standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="A bitstream; - is standard output.")],
    bitrate: Annotated[
        float | None,
        typer.Option(
            "--bitrate",
            "-b",
            help="kbit/s over all channels that the codes may take before entropy coding.",
            show_default=False,
        ),
    ] = None,
    codebooks: Annotated[
        int | None,
        typer.Option("--codebooks", help="Codebooks to keep, instead of a bitrate.", show_default=False),
    ] = None,
    model: ModelOfStream = None,
    recursive: Recursive = False,
    jobs: Jobs = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Lower the bitrate of a bitstream by leaving out the last codebooks of its frames.

    No sound is decoded for it: OUT sounds as if IN had been encoded at that bitrate. A frame that sends fewer
    codebooks stays as it is, and so do tags and damage. Models of additive codebooks cannot be cut.
    """
    if (bitrate is None) == (codebooks is None):
        raise UsageError("say what is to be kept: give either --bitrate or --codebooks")
    options = TranscodeOptions(model, bitrate, codebooks, force)
    console = Console(quiet, as_json, stdout_is_audio=target == STANDARD)
    if recursive:
        return code_folder(partial(_transcode_job, options), source, target, (SUFFIX,), SUFFIX, jobs, console)
    with Stop() as stop:
        from codec.cli.transcoding import transcode_file

        report = transcode_file(source, target, options, console, stop)
    return tell(report, console)


def _transcode_job(options: TranscodeOptions, job: Job) -> Report:
    from codec.cli.transcoding import transcode_file

    with Stop() as stop:
        return transcode_file(job.source, job.target, options, Console(quiet=True), stop)
