"""`codec evaluate`: a model measured on a folder of clips, beside other codecs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from codec.cli.console import Console
from codec.cli.options import Quiet
from codec.errors import UsageError
from codec.extras import require

_METRICS = "pesq_wb,pesq_nb,stoi,estoi,visqol,si_sdr,psnr,log_mel_distance,dnsmos"
_MODES = ("cbr", "abr", "vbr")


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure, and where results go.

    Attributes:
        model: name or folder.
        folder: of clips.
        bitrates: kbit/s of constant and average rates.
        modes: of `codec.streaming.Mode`.
        qualities: of vbr.
        codebooks: numbers of codebooks, besides.
        peers: names, `all` for every one.
        metrics: names, `all` for every one.
        split: report the first so many clips and the others apart too; 0 for not.
        out: folder for the results, or None.
        page_clips: how many clips the listening page has.
        page_settings: labels of its versions; empty for those of the model.
        credit: a line on the page on where the clips come from.
        jobs: processes that score, None for one a processor.
    """

    model: str
    folder: Path
    bitrates: list[float]
    modes: list[str]
    qualities: list[float]
    codebooks: list[int]
    peers: list[str]
    metrics: list[str]
    split: int
    out: Path | None
    page_clips: int
    page_settings: list[str]
    credit: str
    jobs: int | None


Model = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Name or folder of a model.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Clips: WAV, FLAC, Ogg or MP3, any rate.")]
Bitrates = Annotated[str, typer.Option(help="kbit/s, with commas; of peers the nearest they have.")]
Modes = Annotated[str, typer.Option(help="Of cbr, abr, vbr, with commas.")]
Qualities = Annotated[str, typer.Option(help="Of vbr, 0 to 10, with commas.")]
Codebooks = Annotated[str, typer.Option(help="Numbers of codebooks to measure, too.")]
Peers = Annotated[
    str,
    typer.Option(
        help="Of opus, codec2, amr-wb, speex, lc3, mp3, aac, vorbis, lyra, encodec, dac, with commas; or "
        "all. What is not installed is named and left out."
    ),
]
Metrics = Annotated[
    str, typer.Option(help="With commas; all adds visqol_audio, which takes longer than the others.")
]
Split = Annotated[int, typer.Option(min=0, help="Report the first so many clips and the others apart too.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for report.md, two CSV files, a plot and the listening page index.html."),
]
PageClips = Annotated[int, typer.Option(min=1, help="Clips on the page: the shortest from 2 s on.")]
PageSettings = Annotated[
    str,
    typer.Option(
        help="Its versions as the table names them: '3 kbit/s,opus 6 kbit/s'; by default the model's."
    ),
]
Credit = Annotated[str, typer.Option(help="A line for the page on where the clips come from.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes that score; by default one a processor.")]


def evaluate(
    model: Model,
    folder: Folder,
    bitrates: Bitrates = "1.5,3,6,9",
    modes: Modes = "cbr",
    qualities: Qualities = "2,4,6",
    codebooks: Codebooks = "",
    peers: Peers = "opus",
    metrics: Metrics = _METRICS,
    split: Split = 0,
    out: Out = None,
    page_clips: PageClips = 5,
    page_settings: PageSettings = "",
    credit: Credit = "",
    jobs: Jobs = None,
    quiet: Quiet = False,
) -> int:
    """Measure a model on a folder of clips: bits, quality with 95 % intervals, speed, beside other codecs.

    Sizes are of real files; payload is what is left without the container. The model and the peers run on one
    thread. Metrics that contradict each other stand side by side: no mean over them is taken.
    """
    if not modes.strip() or set(_words(modes)) - set(_MODES):
        raise UsageError(f"--modes takes {', '.join(_MODES)} with commas between them, not {modes!r}")
    options = EvaluateOptions(
        model,
        folder,
        _numbers("--bitrates", bitrates),
        _words(modes),
        _numbers("--qualities", qualities),
        [int(number) for number in _numbers("--codebooks", codebooks)],
        _words(peers),
        _words(metrics),
        split,
        out,
        page_clips,
        _words(page_settings),
        credit,
        jobs,
    )
    require("scipy", extra="eval")
    from codec.cli.evaluating import evaluate_folder

    evaluate_folder(options, Console(quiet))
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError as error:
        raise UsageError(f"{option} takes numbers with commas between them, not {text!r}") from error
