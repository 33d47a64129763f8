"""Encode and decode a few clips, print what came of it in one table, and write a page to listen to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from codec import DEFAULT_MODEL
from codec.atomic import AtomicFile
from codec.errors import CodecError, UsageError

METRICS = ("pesq_wb", "stoi")
BITRATES = (1.5, 3.0, 6.0)
CLIPS = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips"
CREDIT = (
    "The clips are spans of utterances of the LibriSpeech corpus (V. Panayotov, G. Chen, D. Povey and "
    "S. Khudanpur, 2015; openslr.org/12), read by LibriVox volunteers, licensed under CC BY 4.0; the other "
    "versions of them went through the codec."
)


def run_demo(model: str, folder: Path, out: Path, console: Console) -> Path:
    """Send every clip of a folder through a real file at each bitrate and report on it.

    The encoded files and index.html are written to `out`; returns the page's path. Raises CodecError where
    the model or a clip cannot be read.
    """
    # Here, so that a missing package or model is a sentence and `--help` is quick.
    import torch

    from codec.api import Codec
    from codec.evaluation import evaluate, report
    from codec.evaluation.facts import model_facts
    from codec.evaluation.listening import listening_page
    from codec.evaluation.run import choose_metrics

    # One thread: its speed is what the project states, and it stays so beside other work on the machine.
    torch.set_num_threads(1)
    _make_folder(out)
    clips = evaluate.load_clips(folder)
    metrics = choose_metrics(METRICS, lambda sentence: console.print(sentence, markup=False))
    codec = Codec.load(model)
    settings = [evaluate.Setting(bitrate=bitrate) for bitrate in BITRATES]
    # The first run pays for checks and memory that later ones share; a speed should not.
    evaluate.round_trip(codec, clips[0], settings[-1], [])
    trips = []
    with console.status("encoding, decoding and scoring"):
        for setting in settings:
            for clip in clips:
                target = out / f"{clip.name}_{setting.bitrate:g}kbps.nac"
                trips.append(evaluate.round_trip(codec, clip, setting, metrics, target))
    facts = model_facts(codec)
    console.print(f"{report.format_model(facts)}; speeds on one thread", markup=False, soft_wrap=True)
    console.print(report.clip_table(trips, METRICS))
    for note in report.missing_notes(evaluate.aggregate(trips)):
        console.print(note, markup=False)
    credit = CREDIT if folder.resolve() == CLIPS else ""
    page = out / "index.html"
    with AtomicFile(page, force=True) as file:
        file.write(listening_page(facts, trips, METRICS, credit).encode())
    return page


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be made a folder ({error.strerror}): name another with --out"
        ) from error


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    clips: Annotated[Path, typer.Option(help="Folder of audio clips.")] = CLIPS,
    out: Annotated[Path, typer.Option(help="Folder for the encoded files and the page.")] = Path("demo"),
) -> None:
    """Encode and decode a few clips, print one table and write a page to listen to."""
    console = Console(width=None if Console().is_terminal else 120)
    try:
        page = run_demo(model, clips, out, console)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    console.print(f"Listen: {page.resolve().as_uri()}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
