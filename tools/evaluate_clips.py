"""Measure a checkpoint on a folder of clips: bits, quality with 95 % intervals, speed, latency, size."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from codec.atomic import AtomicFile
from codec.errors import CodecError, UsageError

if TYPE_CHECKING:
    from codec.evaluation.evaluate import RoundTrip, Setting


def parse_settings(bitrates: str, codebooks: str) -> list[Setting]:
    """Read comma-separated bitrates in kbit/s and numbers of codebooks.

    Raises UsageError where one is no number or there is none at all.
    """
    from codec.evaluation.evaluate import Setting

    try:
        settings = [Setting(bitrate=float(text)) for text in bitrates.split(",") if text.strip()]
        settings += [Setting(num_codebooks=int(text)) for text in codebooks.split(",") if text.strip()]
    except ValueError as error:
        raise UsageError(
            f"--bitrates and --codebooks take numbers with commas between them: {error}"
        ) from error
    if not settings:
        raise UsageError("there is nothing to measure: give --bitrates or --codebooks")
    return settings


def groups(trips: list[RoundTrip], split: int) -> dict[str, list[RoundTrip]]:
    """All round trips, and with a split at a number of clips those of the clips before and after it."""
    clips = list(dict.fromkeys(trip.clip for trip in trips))
    if not 0 < split < len(clips):
        return {f"all {len(clips)} clips": trips}
    parts = {
        f"all {len(clips)} clips": clips,
        f"the first {split}": clips[:split],
        f"the other {len(clips) - split}": clips[split:],
    }
    return {name: [trip for trip in trips if trip.clip in part] for name, part in parts.items()}


def run(
    folder: Path, model: str, settings: list[Setting], metrics: list[str], split: int
) -> tuple[list[RoundTrip], str]:
    """Measure every clip at every setting and print a table a group.

    Returns the round trips and the same tables as Markdown. Raises CodecError where the model or a clip
    cannot be read.
    """
    import torch

    from codec.api import Codec
    from codec.evaluation import evaluate, report
    from codec.evaluation.facts import model_facts

    usable = evaluate.usable_metrics(metrics)
    clips = evaluate.load_clips(folder)
    codec = Codec.load(model)
    evaluate.round_trip(codec, clips[0], settings[0], [])
    work = [(setting, clip) for setting in settings for clip in clips]
    trips = [
        evaluate.round_trip(codec, clip, setting, usable)
        for setting, clip in track(work, "measuring", transient=True, disable=not Console().is_terminal)
    ]
    about = f"{report.format_model(model_facts(codec))}; {torch.get_num_threads()} thread(s)"
    console = Console(width=None if Console().is_terminal else 140)
    document = f"{about}\n"
    console.print(about, markup=False, soft_wrap=True)
    for name, part in groups(trips, split).items():
        results = evaluate.aggregate(part)
        console.print(f"\n{name}", style="bold")
        console.print(report.aggregate_table(results, metrics))
        for note in report.missing_notes(results):
            console.print(note, markup=False)
        document += f"\n{name}:\n\n{report.markdown(results, metrics)}"
    return trips, document


def main(
    clips: Annotated[Path, typer.Argument(help="Folder of audio clips, mono or stereo, any rate.")],
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = "speech_16k",
    bitrates: Annotated[str, typer.Option(help="kbit/s, as in 1.5,3,6.")] = "1.5,3,6",
    codebooks: Annotated[str, typer.Option(help="Numbers of codebooks, as in 1,6,12.")] = "",
    metrics: Annotated[str, typer.Option(help="Metrics, best known first.")] = "pesq_wb,stoi,si_sdr",
    split: Annotated[int, typer.Option(help="Report the first so many clips and the others apart too.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the codec.")] = 1,
    csv: Annotated[Path | None, typer.Option(help="Write a line for each clip and setting there.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables there.")] = None,
) -> None:
    """Measure a checkpoint on a folder of clips."""
    import torch

    from codec.evaluation.report import to_csv

    torch.set_num_threads(threads)
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    try:
        with ExitStack() as stack:
            # Opened first: hours of measuring should not end at a folder that is missing.
            files = [
                stack.enter_context(AtomicFile(path, force=True)) if path else None
                for path in (csv, markdown)
            ]
            trips, document = run(clips, model, parse_settings(bitrates, codebooks), names, split)
            for file, text in zip(files, (to_csv(trips, names), document), strict=True):
                if file:
                    file.write(text.encode())
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
