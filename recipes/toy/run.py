"""Run the study on toy data and write its tables and plots: `python recipes/toy/run.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from codec.config import to_mapping
from recipes.common.command import Quick, Report, run_command, size_name
from recipes.common.records import Records, by_setting
from recipes.common.runs import count_missing, run_missing
from recipes.toy.report import write_report
from recipes.toy.results import collect
from recipes.toy.study import Setting, Size, Study, read_published, read_study, settings
from recipes.toy.train import run

HERE = Path(__file__).resolve().parent


def shared_setting(study: Study, size: Size) -> dict[str, Any]:
    """What all runs of a size have in common, as it is kept with each; more of them may be added later."""
    return {
        "num_codebooks": study.num_codebooks,
        "beam": study.beam,
        "learn": size.learn,
        "held_out": size.held_out,
        "train_beam": size.train_beam,
        "training": to_mapping(size.training),
    }


def main(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="12 to 40 bits in 10 runs, as published.")] = False,
    report: Report = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/toy"),
) -> None:
    """Run every setting that is not among the finished runs, then write the report."""
    torch.set_num_threads(1)
    name = size_name(quick, full)
    study = read_study(HERE / "config.yaml")
    size: Size = getattr(study, name)
    records, todo, shared = (
        Records(runs / f"{name}.jsonl"),
        settings(study, size),
        shared_setting(study, size),
    )
    if not report:
        run_missing(records, todo, shared, lambda setting: run(setting, study, size))
    results = by_setting(records, Setting, shared)
    missing, published = count_missing(results, todo), read_published(HERE / "published.json")
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    write_report(study, size, collect(results), missing, published, runs if quick else HERE)


if __name__ == "__main__":
    run_command(main)
