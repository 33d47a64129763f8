"""Run the speech study: `python recipes/speech_envelope/run.py --data FOLDER --valid FOLDER`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
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
from recipes.speech_envelope.results import Finished, read_published
from recipes.speech_envelope.study import (
    USUAL,
    Condition,
    Run,
    Setting,
    Size,
    Study,
    read_study,
    side_runs,
    study_runs,
)
from recipes.speech_envelope.train import train, training_lines

HERE = Path(__file__).resolve().parent
SMOKE_CLIPS = HERE.parent / "smoke" / "clips"


def key_of(run: Run, study: Study, size: Size, sound: str) -> dict[str, Any]:
    """The whole setting of a run, as it is kept with its result."""
    return {**dataclasses.asdict(run.setting), **shared_setting(study, size, run.condition), "sound": sound}


def shared_setting(study: Study, size: Size, condition: Condition = USUAL) -> dict[str, Any]:
    """What all runs of a size under a condition have in common; more seeds may be added later."""
    names = ("num_codebooks", "codebook_size", "beam", "train_beam", "components")
    return {
        **({} if condition == USUAL else dataclasses.asdict(condition)),
        **{name: getattr(study, name) for name in names},
        "bitrates": list(bitrates_of(size, condition)),
        "training": to_mapping(size.training),
    }


def bitrates_of(size: Size, condition: Condition) -> tuple[int, ...]:
    """What runs under a condition are measured at."""
    return size.bitrates if condition == USUAL else size.side.bitrates


def run_all(
    runs: Sequence[Run], study: Study, size: Size, data: list[str], valid: list[str], records: Records
) -> None:
    """Do the runs that are not among the records yet."""
    clips = load_clips(valid, SAMPLE_RATE)[: size.clips]
    seconds = sum(len(clip.audio) for clip in clips) / SAMPLE_RATE
    lines = training_lines(load_clips(data, SAMPLE_RATE), size.training.frames)
    sound = f"{len(lines):,} frames to train on, {len(clips)} clips of {seconds:.1f} s to measure"
    console = Console(stderr=True, highlight=False)
    for number, run in enumerate(runs, start=1):
        key = key_of(run, study, size, sound)
        if records.find(key) is None:
            start = time.perf_counter()
            records.add(key, train_and_measure(run, study, size, lines, clips))
            console.print(
                f"{number}/{len(runs)} {run.setting} {run.condition} in {time.perf_counter() - start:.0f} s",
                markup=False,
            )


def train_and_measure(
    run: Run, study: Study, size: Size, lines: torch.Tensor, clips: list[ValidationClip]
) -> dict[str, Any]:
    """Train one codec on lines ``[N, 320]`` and measure it on clips at the bitrates of its condition."""
    model, facts = train(run, study, size.training, lines)
    codec = EnvelopeCodec(model)
    bitrates = bitrates_of(size, run.condition)
    return {**facts, "measured": {str(bitrate): measure(codec, clips, bitrate) for bitrate in bitrates}}


def finished_runs(records: Records, study: Study, size: Size) -> Finished:
    """All runs on the sound of the run of the study itself that was finished last."""
    shared = shared_setting(study, size)
    sounds = [run["setting"]["sound"] for run in records if run["setting"].items() >= shared.items()]
    sound = sounds[-1] if sounds else ""

    # The study's own runs do not tell their condition: they are those without.
    untold = dict.fromkeys(dataclasses.asdict(USUAL))

    def under(condition: Condition) -> Results[Setting]:
        wanted = {**untold, **shared_setting(study, size, condition), "sound": sound}
        return by_setting(records, Setting, wanted)

    return Finished(sound, under(USUAL), {condition: under(condition) for condition in size.side.conditions})


def main(
    data: Annotated[list[str] | None, typer.Option(help="What to train on, as of codec train.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Clips to measure on, never trained on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, on clips that are shipped.")] = False,
    conditions: Annotated[
        bool, typer.Option("--conditions", help="Also train the side study of other conditions.")
    ] = False,
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
    size, name = (study.quick, "quick.jsonl") if quick else (study.full, "full.jsonl")
    records = Records(runs / name)
    if not report:
        wanted = [*study_runs(size), *(side_runs(size) if conditions else [])]
        run_all(wanted, study, size, data or [], valid or [], records)
    published, known = read_published(HERE / "published.json"), read_neural(neural)
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    finished = finished_runs(records, study, size)
    write_report(study, size, finished, published, known, runs if quick else HERE)


if __name__ == "__main__":
    run_command(main)
