"""Run the image study and write its tables and plots: `python recipes/image_vqvae/run.py --data CIFAR10`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from codec.errors import UsageError
from codec.training.precision import bf16_is_faster
from recipes.common.command import Quick, Report, SizeName, run_command, size_name
from recipes.common.records import Records, Results, by_setting
from recipes.common.runs import run_missing
from recipes.image_vqvae.images import Images, drawn_images, load_images
from recipes.image_vqvae.report import write_report
from recipes.image_vqvae.study import Setting, Size, Study, read_study, settings
from recipes.image_vqvae.train import train

HERE = Path(__file__).resolve().parent


def shared_setting(study: Study, size: Size) -> dict[str, Any]:
    """What all runs of a size have in common, as it is kept with each; more seeds may be added later."""
    return {
        "network": dataclasses.asdict(study.network),
        "test_beam": study.test_beam,
        "training": dataclasses.asdict(size.training),
    }


def run_all(study: Study, size: Size, images: Images, records: Records) -> None:
    """Do the runs that are not among the records yet."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bf16 = bf16_is_faster(device)
    data = f"{images.source}: {len(images.train):,} images to train on, {len(images.test):,} to test on"
    run_missing(
        records,
        settings(size),
        {**shared_setting(study, size), "data": data},
        lambda setting: train(setting, study, size.training, images, device, bf16),
    )


def finished_runs(folder: Path, name: SizeName) -> tuple[Size, Results[Setting]]:
    """A size of the study, and those of its runs that are finished."""
    study = read_study(HERE / "config.yaml")
    size: Size = getattr(study, name)
    return size, by_setting(Records(folder / f"{name}.jsonl"), Setting, shared_setting(study, size))


def main(
    data: Annotated[Path | None, typer.Option(help="CIFAR-10: folder or zip.")] = None,
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="The published size, for a GPU.")] = False,
    report: Report = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/image_vqvae"),
) -> None:
    """Train every setting that is not among the finished runs, then write the report."""
    name = size_name(quick, full)
    if data is None and not (quick or report):
        raise UsageError(
            "--data FOLDER_OR_ZIP of CIFAR-10 is needed; only --quick does without, on drawn images"
        )
    study = read_study(HERE / "config.yaml")
    if not report:
        images = drawn_images(train=64, test=32) if data is None else load_images(data)
        run_all(study, getattr(study, name), images, Records(runs / f"{name}.jsonl"))
    size, results = finished_runs(runs, name)
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    write_report(study, size, results, runs if quick else HERE)


if __name__ == "__main__":
    run_command(main)
