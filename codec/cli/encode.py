"""`codec encode`: sound to a bitstream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from codec.cli.batch import code_folder
from codec.cli.console import Console
from codec.cli.folders import Job
from codec.cli.options import Force, Jobs, Json, Quiet, Recursive
from codec.cli.reports import Report, tell
from codec.cli.streams import STANDARD
from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.pcm import RawFormat

SUFFIX = ".nac"
_SOUND_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"
)  # fmt: skip
_RAW = "Raw PCM"


@dataclass(frozen=True)
class EncodeOptions:
    """The options that concern each file."""

    model: str
    bitrate: float | None
    codebooks: int | None
    packet_ms: float
    max_duration: float
    raw: RawFormat | None
    force: bool


def encode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A sound file; - is standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The bitstream; - is standard output.")],
    bitrate: Annotated[
        float | None,
        typer.Option(
            "--bitrate", "-b", help="kbit/s over all channels; by default 6 a channel.", show_default=False
        ),
    ] = None,
    codebooks: Annotated[
        int | None,
        typer.Option(
            "--codebooks", help="Codebooks of each frame, instead of a bitrate.", show_default=False
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Name or folder of the model.")] = "speech_16k",
    packet_ms: Annotated[
        float,
        typer.Option(help="Length of a block in ms, 20 to 10000; a live stream is sent on block by block."),
    ] = 2000.0,
    max_duration: Annotated[
        float,
        typer.Option(
            help="Refuse longer sound, in seconds; a pipe that tells no length is coded up to there."
        ),
    ] = 86400.0,
    recursive: Recursive = False,
    jobs: Jobs = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="IN has no header: --rate and the following say what it is.", rich_help_panel=_RAW
        ),
    ] = False,
    rate: Annotated[int | None, typer.Option(help="Hz.", rich_help_panel=_RAW, show_default=False)] = None,
    channels: Annotated[
        int | None, typer.Option(help="Interleaved; 1 by default.", rich_help_panel=_RAW, show_default=False)
    ] = None,
    subtype: Annotated[
        str | None,
        typer.Option(
            help="u8, s16le (the default), s24le, s32le, f32le or f64le.",
            rich_help_panel=_RAW,
            show_default=False,
        ),
    ] = None,
) -> int:
    """Encode sound: WAV, FLAC, Ogg, MP3 or raw PCM, from a file or a pipe.

    SIGINT (Ctrl-C) or SIGTERM ends a recording from a pipe properly: OUT is complete up to there, and the
    exit code is 0. While a file is read, they break off: nothing is written, and the exit code is 130 or 143.
    """
    if not max_duration > 0:
        raise UsageError(f"--max-duration must be positive, not {max_duration:g}")
    layout = _raw_format(raw, rate, channels, subtype)
    options = EncodeOptions(model, bitrate, codebooks, packet_ms, max_duration, layout, force)
    console = Console(quiet, as_json, stdout_is_audio=target == STANDARD)
    if recursive:
        if raw:
            raise UsageError("--raw goes with a single file: leave -r out")
        from codec.checkpoint import find_checkpoint

        find_checkpoint(model)  # a wrong name is one error, not one for each file
        return code_folder(
            partial(_encode_job, options), source, target, _SOUND_SUFFIXES, SUFFIX, jobs, console
        )
    from codec.cli.encoding import encode_file

    return tell(encode_file(source, target, options, console), console)


def _encode_job(options: EncodeOptions, job: Job) -> Report:
    from codec.cli.encoding import encode_file

    return encode_file(job.source, job.target, options, Console(quiet=True))


def _raw_format(raw: bool, rate: int | None, channels: int | None, subtype: str | None) -> RawFormat | None:
    from codec.pcm import RawFormat

    if raw and rate is None:
        raise UsageError("--raw needs --rate, and --channels and --subtype where they are not 1 and s16le")
    if raw:
        assert rate is not None
        return RawFormat(rate, 1 if channels is None else channels, subtype or "s16le")
    if (rate, channels, subtype) != (None, None, None):
        raise UsageError(
            "--rate, --channels and --subtype describe raw samples: add --raw, or leave them out"
        )
    return None
