"""`codec encode`: sound to a bitstream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from codec import DEFAULT_MODEL
from codec.cli.batch import code_folder
from codec.cli.console import Console
from codec.cli.folders import Job
from codec.cli.options import Force, Jobs, Json, Quiet, Recursive
from codec.cli.reports import Report, tell
from codec.cli.signals import Stop
from codec.cli.streams import STANDARD
from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.pcm import RawFormat

SUFFIX = ".nac"
_SOUND_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"
)  # fmt: skip
_PANEL = "Raw PCM"


class RateMode(StrEnum):
    """What is held: the bits of each packet, the size of the file, or the quality of the sound."""

    CBR = "cbr"
    ABR = "abr"
    VBR = "vbr"


_Bitrate = Annotated[
    float | None,
    typer.Option(
        "--bitrate", "-b", help="kbit/s over all channels; by default 6 a channel.", show_default=False
    ),
]
_Mode = Annotated[
    RateMode,
    typer.Option(
        help="cbr: as many codebooks in every frame as fit the bitrate. abr: bits go where they are heard, "
        "and the file has the bitrate. vbr: as many bits as --quality takes.",
    ),
]
_Quality = Annotated[
    float | None, typer.Option(help="0 to 10, with --mode vbr; 5 by default.", show_default=False)
]
_MaxBitrate = Annotated[
    float | None,
    typer.Option(help="kbit/s that no packet exceeds, with --mode abr or vbr.", show_default=False),
]
_TwoPass = Annotated[
    bool,
    typer.Option(
        "--two-pass",
        help="With --mode abr: listen to everything first. A long sound takes 40 kB a second on disk.",
    ),
]
_Codebooks = Annotated[
    int | None,
    typer.Option("--codebooks", help="Codebooks of each frame, instead of a bitrate.", show_default=False),
]
_Model = Annotated[str, typer.Option("--model", help="Name or folder of the model.")]
_PacketMs = Annotated[
    float,
    typer.Option(
        "--packet-ms",
        help="Length of a block in ms, 20 to 10000; a live stream is sent on block by block, and damage "
        "costs whole blocks.",
    ),
]
_MaxDuration = Annotated[
    float,
    typer.Option(
        "--max-duration",
        help="Refuse longer sound, in seconds; a pipe that tells no length is coded up to there.",
    ),
]
_Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="IN has no header: --rate and the following say what it is.", rich_help_panel=_PANEL
    ),
]
_Rate = Annotated[int | None, typer.Option("--rate", help="Hz.", rich_help_panel=_PANEL, show_default=False)]
_Channels = Annotated[
    int | None,
    typer.Option("--channels", help="Interleaved; 1 by default.", rich_help_panel=_PANEL, show_default=False),
]
_Subtype = Annotated[
    str | None,
    typer.Option(
        "--subtype",
        help="u8, s16le (the default), s24le, s32le, f32le or f64le.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]


@dataclass(frozen=True)
class RateOptions:
    """How many bits, and where; what goes together StreamEncoder knows."""

    bitrate: float | None
    codebooks: int | None
    mode: RateMode
    quality: float | None
    max_bitrate: float | None
    two_pass: bool


@dataclass(frozen=True)
class EncodeOptions:
    """The options that concern each file."""

    model: str
    rates: RateOptions
    packet_ms: float
    max_duration: float
    raw: RawFormat | None
    force: bool


def encode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A sound file; - is standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The bitstream; - is standard output.")],
    bitrate: _Bitrate = None,
    codebooks: _Codebooks = None,
    mode: _Mode = RateMode.CBR,
    quality: _Quality = None,
    max_bitrate: _MaxBitrate = None,
    two_pass: _TwoPass = False,
    model: _Model = DEFAULT_MODEL,
    packet_ms: _PacketMs = 2000.0,
    max_duration: _MaxDuration = 86400.0,
    recursive: Recursive = False,
    jobs: Jobs = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
    raw: _Raw = False,
    rate: _Rate = None,
    channels: _Channels = None,
    subtype: _Subtype = None,
) -> int:
    """Encode sound: WAV, FLAC, Ogg, MP3 or raw PCM, from a file or a pipe. Tags go along.

    SIGINT (Ctrl-C) or SIGTERM ends a recording from a pipe properly: OUT is complete up to there, and the
    exit code is 0. While a file is read, they break off: nothing is written, and the exit code is 130 or 143.
    """
    if not max_duration > 0:
        raise UsageError(f"--max-duration must be positive, not {max_duration:g}")
    if two_pass and mode is not RateMode.ABR:
        raise UsageError("--two-pass shares out the bits of a bitrate: add --mode abr, or leave it out")
    layout = _raw_format(raw, rate, channels, subtype)
    rates = RateOptions(bitrate, codebooks, mode, quality, max_bitrate, two_pass)
    options = EncodeOptions(model, rates, packet_ms, max_duration, layout, force)
    console = Console(quiet, as_json, stdout_is_audio=target == STANDARD)
    if recursive:
        if raw:
            raise UsageError("--raw goes with a single file: leave -r out")
        from codec.checkpoint import find_checkpoint

        find_checkpoint(model)  # a wrong name is one error, not one for each file
        return code_folder(
            partial(_encode_job, options), source, target, _SOUND_SUFFIXES, SUFFIX, jobs, console
        )
    # Before anything heavy is loaded: a recording may be ended while that goes on.
    with Stop() as stop:
        from codec.cli.encoding import encode_file

        report = encode_file(source, target, options, console, stop)
    return tell(report, console)


def _encode_job(options: EncodeOptions, job: Job) -> Report:
    from codec.cli.encoding import encode_file

    with Stop() as stop:
        return encode_file(job.source, job.target, options, Console(quiet=True), stop)


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
