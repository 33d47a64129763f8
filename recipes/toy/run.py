"""Run the study on toy data and write its tables and plots: `python recipes/toy/run.py`."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from codec.config import to_mapping
from recipes.common.command import run_command, size_name
from recipes.common.records import Records
from recipes.toy.report import collect, write_report
from recipes.toy.study import Setting, Size, Study, read_published, read_study, settings
from recipes.toy.train import run

HERE = Path(__file__).resolve().parent


def identity(setting: Setting, study: Study, size: Size) -> dict[str, Any]:
    """A run's setting with all that its result depends on, as it is kept with the result."""
    shared = {"num_codebooks": study.num_codebooks, "beam": study.beam}
    counts = {"learn": size.learn, "held_out": size.held_out, "train_beam": size.train_beam}
    return {**dataclasses.asdict(setting), **shared, **counts, "training": to_mapping(size.training)}


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, to see that it works.")] = False,
    full: Annotated[bool, typer.Option("--full", help="12 to 40 bits in 10 runs, as published.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write the report of the finished runs alone.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/toy"),
) -> None:
    """Run every setting that is not among the finished runs, then write the report."""
    torch.set_num_threads(1)
    name = size_name(quick, full)
    study = read_study(HERE / "config.yaml")
    size: Size = getattr(study, name)
    records, todo = Records(runs / f"{name}.jsonl"), settings(study, size)
    for number, setting in enumerate([] if report else todo, start=1):
        key, start = identity(setting, study, size), time.perf_counter()
        if records.find(key) is None:
            records.add(key, run(setting, study, size))
            line = f"{number}/{len(todo)} {setting} in {time.perf_counter() - start:.0f} s"
            Console(stderr=True).print(line, markup=False, highlight=False)
    found = {setting: records.find(identity(setting, study, size)) for setting in todo}
    unfinished = sum(result is None for result in found.values())
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    folder = runs if quick else HERE
    write_report(study, size, collect(found), unfinished, read_published(HERE / "published.json"), folder)


if __name__ == "__main__":
    run_command(main)
