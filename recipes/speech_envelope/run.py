"""Run the speech study: `python recipes/speech_envelope/run.py --data FOLDER --valid FOLDER`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from codec.config import to_mapping
from codec.errors import UsageError
from codec.training.validation import ValidationClip, load_clips
from recipes.common.command import run_command
from recipes.common.records import Records, Results, by_setting
from recipes.speech_envelope.coder import SAMPLE_RATE, EnvelopeCodec
from recipes.speech_envelope.measure import measure
from recipes.speech_envelope.neural import read_neural
from recipes.speech_envelope.report import write_report
from recipes.speech_envelope.results import read_published
from recipes.speech_envelope.study import Setting, Size, Study, read_study, settings
from recipes.speech_envelope.train import train, training_lines

HERE = Path(__file__).resolve().parent
SMOKE_CLIPS = HERE.parent / "smoke" / "clips"


def shared_setting(study: Study, size: Size) -> dict[str, Any]:
    """What all runs of a size have in common, as it is kept with each; more seeds may be added later."""
    names = ("num_codebooks", "codebook_size", "beam", "train_beam", "components")
    return {
        **{name: getattr(study, name) for name in names},
        "bitrates": list(size.bitrates),
        "training": to_mapping(size.training),
    }


def run_all(study: Study, size: Size, data: list[str], valid: list[str], records: Records) -> None:
    """Do the runs that are not among the records yet."""
    clips = load_clips(valid, SAMPLE_RATE)[: size.clips]
    seconds = sum(len(clip.audio) for clip in clips) / SAMPLE_RATE
    lines = training_lines(load_clips(data, SAMPLE_RATE), size.training.frames)
    sound = f"{len(lines):,} frames to train on, {len(clips)} clips of {seconds:.1f} s to measure"
    runs, console = settings(size), Console(stderr=True, highlight=False)
    for number, setting in enumerate(runs, start=1):
        key = {**dataclasses.asdict(setting), **shared_setting(study, size), "sound": sound}
        if records.find(key) is None:
            start = time.perf_counter()
            records.add(key, run(setting, study, size, lines, clips))
            console.print(
                f"{number}/{len(runs)} {setting} in {time.perf_counter() - start:.0f} s", markup=False
            )


def run(
    setting: Setting, study: Study, size: Size, lines: torch.Tensor, clips: list[ValidationClip]
) -> dict[str, Any]:
    """Train one codec on lines ``[N, 320]`` and measure it on clips at all bitrates."""
    model, facts = train(setting, study, size.training, lines)
    codec = EnvelopeCodec(model)
    measured = {str(bitrate): measure(codec, clips, bitrate) for bitrate in size.bitrates}
    return {**facts, "measured": measured}


def finished_runs(records: Records, study: Study, size: Size) -> tuple[str, Results[Setting]]:
    """The sound of the run that was finished last, in words, and all runs of the study on the same."""
    shared = shared_setting(study, size)
    sounds = [run["setting"]["sound"] for run in records if run["setting"].items() >= shared.items()]
    sound = sounds[-1] if sounds else ""
    return sound, by_setting(records, Setting, {**shared, "sound": sound})


def main(
    data: Annotated[list[str] | None, typer.Option(help="What to train on, as of codec train.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Clips to measure on, never trained on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, on clips that are shipped.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write the report of the finished runs alone.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/speech_envelope"),
    neural: Annotated[Path, typer.Option(help="Run folder of recipes/speech_16k/compare.py.")] = Path(
        "runs/compare_bottlenecks"
    ),
) -> None:
    """Train and measure every setting that is not among the finished runs, then write the report."""
    torch.set_num_threads(1)
    if quick:
        data, valid = data or [str(SMOKE_CLIPS)], valid or [str(SMOKE_CLIPS)]
    if not report and (not data or not valid):
        raise UsageError("--data and --valid are needed: folders of 16 kHz speech, by different speakers")
    study = read_study(HERE / "config.yaml")
    size, records = (study.quick, "quick.jsonl") if quick else (study.full, "full.jsonl")
    if not report:
        run_all(study, size, data or [], valid or [], Records(runs / records))
    sound, results = finished_runs(Records(runs / records), study, size)
    published, known = read_published(HERE / "published.json"), read_neural(neural)
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    write_report(study, size, sound, results, published, known, runs if quick else HERE)


if __name__ == "__main__":
    run_command(main)
