"""Run the study on nearest-neighbour search: `python recipes/ann_search/run.py --data FOLDER`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from codec.config import to_mapping
from codec.errors import UsageError
from recipes.ann_search.report import write_report
from recipes.ann_search.results import collect
from recipes.ann_search.study import CODEBOOKS, Setting, Size, Study, read_published, read_study, settings
from recipes.ann_search.train import run
from recipes.ann_search.vecs import SearchSet, make_search_set, read_search_set
from recipes.common.command import Quick, Report, SizeName, run_command, size_name
from recipes.common.records import Records, by_setting
from recipes.common.runs import count_missing, run_missing

HERE = Path(__file__).resolve().parent


def shared_setting(study: Study, size: Size, vectors: SearchSet) -> dict[str, Any]:
    """What all runs of a size have in common, as it is kept with each; more of them may be added later."""
    searched = {"beam": size.beam, "wide_beam": study.wide_beam, "polish": study.polish}
    return {**searched, **_fitted(size, vectors)}


def words_path(folder: Path, setting: Setting, size: Size, vectors: SearchSet) -> Path:
    """Where the trained codebooks of a setting are kept."""
    method = CODEBOOKS.get(setting.method, setting.method)
    digest = hashlib.sha256(json.dumps(_fitted(size, vectors)).encode()).hexdigest()[:8]
    name = f"{method}-{setting.num_codebooks}-{setting.bits}-{setting.seed}-{digest}.safetensors"
    return folder / "words" / name


def _fitted(size: Size, vectors: SearchSet) -> dict[str, Any]:
    counts = {name: len(getattr(vectors, name)) for name in ("learn", "base", "query")}
    # The sum tells sets of equal size apart.
    data = {**counts, "sum": float(vectors.query.double().sum())}
    return {"data": data, "train_beam": size.train_beam, "training": to_mapping(size.training)}


def _read(data: Path | None, name: SizeName) -> SearchSet:
    if data is not None:
        return read_search_set(data)
    if name != "quick":
        raise UsageError("--data is needed: a folder with a set in the layout of SIFT1M")
    return make_search_set(learn=1000, base=500, query=100, dim=32, seed=0)


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of learn, base, query and groundtruth.")] = None,
    quick: Quick = False,
    full: Annotated[bool, typer.Option("--full", help="10 runs and 12 to 40 bits, as published.")] = False,
    report: Report = False,
    runs: Annotated[Path, typer.Option(help="Folder of finished runs.")] = Path("runs/ann_search"),
) -> None:
    """Run every setting that is not among the finished runs, then write the report."""
    torch.set_num_threads(1)
    name = size_name(quick, full)
    study, vectors = read_study(HERE / "config.yaml"), _read(data, name)
    size: Size = getattr(study, name)
    records, todo = Records(runs / f"{name}.jsonl"), settings(size)
    shared = shared_setting(study, size, vectors)

    def run_setting(setting: Setting) -> dict[str, object]:
        """One run on the vectors, its codebooks kept beside the finished runs."""
        return run(setting, study, size, vectors, words_path(runs, setting, size, vectors))

    if not report:
        run_missing(records, todo, shared, run_setting)
    results = by_setting(records, Setting, shared)
    missing, published = count_missing(results, todo), read_published(HERE / "published.json")
    # The README holds the figures of a real study; a quick one shows its own beside its runs.
    folder = runs if quick else HERE
    write_report(study, size, vectors, collect(results), missing, published, folder)


if __name__ == "__main__":
    run_command(main)
