"""Run the study of estimators and write its tables and plots: `python recipes/estimators/run.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from recipes.common.command import Quick, Report, run_command, size_name
from recipes.common.records import Records, by_setting
from recipes.common.runs import run_missing, shared_setting
from recipes.estimators.gradients import measure_gradients
from recipes.estimators.report import write_report
from recipes.estimators.study import Setting, Size, Study, read_study, settings
from recipes.estimators.train import train
from recipes.image_vqvae.results import Runs
from recipes.image_vqvae.run import finished_runs

HERE = Path(__file__).resolve().parent


def run(setting: Setting, study: Study, size: Size) -> dict[str, Any]:
    """Do one run: gradients at a point, or a training."""
    return (measure_gradients if setting.part == "gradients" else train)(setting, study, size)


def main(
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="20 seeds of 20,000 updates.")] = False,
    report: Report = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/estimators"),
    images: Annotated[
        Path, typer.Option(help="Finished runs of the image study, to report on as well.")
    ] = Path("runs/image_vqvae"),
) -> None:
    """Do every run that is not among the finished ones, then write the report."""
    torch.set_num_threads(1)
    name = size_name(quick, full)
    study = read_study(HERE / "config.yaml")
    size: Size = getattr(study, name)
    records, shared = Records(runs / f"{name}.jsonl"), shared_setting(study, size)
    if not report:
        run_missing(records, settings(size), shared, lambda setting: run(setting, study, size))
    image_size, image_results = finished_runs(images, name)
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    write_report(
        size,
        by_setting(records, Setting, shared),
        Runs(image_results),
        max(image_size.banded_bits),
        runs if quick else HERE,
    )


if __name__ == "__main__":
    run_command(main)
