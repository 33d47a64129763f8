"""Run the swiss roll study and write its tables and pictures: `python recipes/swiss_roll/run.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from recipes.common.command import Quick, Report, run_command, size_name
from recipes.common.records import Records, by_setting
from recipes.common.runs import run_missing, shared_setting
from recipes.swiss_roll.report import write_report
from recipes.swiss_roll.study import Setting, Size, read_study, settings
from recipes.swiss_roll.train import train

HERE = Path(__file__).resolve().parent


def main(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="20 seeds of 20,000 updates.")] = False,
    report: Report = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/swiss_roll"),
) -> None:
    """Train every setting that is not among the finished runs, then write the report."""
    torch.set_num_threads(1)
    name = size_name(quick, full)
    study = read_study(HERE / "config.yaml")
    size: Size = getattr(study, name)
    records, shared = Records(runs / f"{name}.jsonl"), shared_setting(study, size)
    if not report:
        run_missing(records, settings(size), shared, lambda setting: train(setting, study, size))
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    write_report(study, size, by_setting(records, Setting, shared), runs if quick else HERE)


if __name__ == "__main__":
    run_command(main)
