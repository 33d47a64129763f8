"""Train short rows that differ in one thing, and tabulate what that is worth.

    python recipes/speech_16k/ablate.py --data FOLDER --noise FOLDER --valid FOLDER

ablations.yaml says what is trained. Each row that is finished is kept in the run folder, so that an
interrupted table goes on where it was, and several processes may each train some (``--only``). ``--report``
brings the tables in docs/training.md up to what is there.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from codec.atomic import AtomicFile
from codec.config import from_mapping, read_yaml, to_mapping
from codec.errors import CodecError, UsageError
from codec.evaluation.metrics import METRICS, Score
from codec.evaluation.statistics import defined, summarize
from codec.model import CodecModel
from codec.training.config import Recipe, read_recipe
from codec.training.saving import TrainingStopped
from codec.training.state import STATE_NAME, averaged_model, read_state
from codec.training.validation import ValidationClip, load_clips, reconstruct
from recipes.common.command import Report, run_command
from recipes.common.report import read_section, table, write_section
from recipes.speech_16k.candidates import CANDIDATES, DISTILLED, Build, distilled_from
from recipes.speech_16k.rows import Sources, trained

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "docs" / "training.md"
RESULT_NAME = "result.json"
_METRICS = ("pesq_wb", "stoi")


@dataclass(frozen=True)
class Row:
    """What one row has that its base has not.

    ``set``: values by dotted keys of the recipe. ``candidate``: see `candidates.build_of`; ``teacher``: the
    row that it learns from. ``num_codebooks``: what it is measured at, where that is not what all are.
    ``seeds``: how many trainings.
    """

    set: dict = field(default_factory=dict)
    candidate: str | None = None
    teacher: str | None = None
    num_codebooks: tuple[int, ...] = ()
    seeds: int = 1


@dataclass(frozen=True)
class Base:
    """What ``rows`` have in common: a ``recipe`` beside this file, ``set`` as in a row, and a ``start``."""

    recipe: str
    rows: dict
    set: dict = field(default_factory=dict)
    start: str | None = None


@dataclass(frozen=True)
class Plan:
    """The configuration file: rows are measured at ``num_codebooks`` and chosen on ``chosen_on`` clips.

    ``folder`` is where the file and its recipes are.
    """

    num_codebooks: tuple[int, ...]
    chosen_on: int
    bases: dict
    folder: str


def read_plan(path: Path) -> Plan:
    """Read and check the configuration file, the recipe of each row included.

    Raises:
        CodecError: a key or a value is wrong; the message names it.
    """
    plan = from_mapping(Plan, {**read_yaml(path), "folder": str(path.parent)}, str(path))
    for name, values in plan.bases.items():
        where = f"{path}: bases: {name}"
        base = plan.bases[name] = from_mapping(Base, values, where)
        for row, own in base.rows.items():
            base.rows[row] = from_mapping(Row, own, f"{where}: rows: {row}")
        for row in base.rows:
            _check_row(plan, base, row, f"{where}: rows: {row}")
    return plan


def _check_row(plan: Plan, base: Base, name: str, where: str) -> None:
    row, most = base.rows[name], recipe_of_row(plan, base, name).model.bottleneck.num_codebooks
    counts = row.num_codebooks or plan.num_codebooks
    if len(counts) != len(plan.num_codebooks) or not 1 <= min(counts) <= max(counts) <= most:
        raise CodecError(
            f"{where}: num_codebooks must be {len(plan.num_codebooks)} numbers from 1 to the model's {most}"
        )
    known = (*CANDIDATES, DISTILLED)
    if row.candidate is not None and row.candidate not in known:
        raise CodecError(f"{where}: there is no candidate {row.candidate!r}, known are {', '.join(known)}")
    if (row.candidate == DISTILLED) != (row.teacher is not None):
        raise CodecError(f"{where}: a teacher is for the candidate {DISTILLED}, which needs one")
    if row.teacher is not None and (row.teacher not in base.rows or base.rows[row.teacher].teacher):
        raise CodecError(f"{where}: the teacher must be a row of the same base that has none itself")


def recipe_of_row(plan: Plan, base: Base, name: str, seed: int = 0) -> Recipe:
    """The recipe that a row is trained by, ``seed`` further seeds behind that of the base.

    Raises:
        CodecError: a dotted key is unknown or its value wrong.
    """
    mapping = to_mapping(read_recipe(Path(plan.folder) / base.recipe))
    for key, value in {**base.set, **base.rows[name].set}.items():
        _set(mapping, key, value)
    recipe = from_mapping(Recipe, mapping, f"{base.recipe} with {name!r}")
    return replace(recipe, training=replace(recipe.training, seed=recipe.training.seed + seed))


def measure(model: CodecModel, clips: Sequence[ValidationClip], counts: Sequence[int]) -> dict[str, Any]:
    """Each metric of each clip by number of codebooks, searched as the model's configuration says."""
    scores: dict[str, Any] = {}
    for count in counts:
        decoded = [reconstruct(model, clip.audio, count) for clip in clips]
        scores[str(count)] = {}
        for name in _METRICS:
            found = [
                METRICS[name](clip.audio, sound, model.config.sample_rate)
                for clip, sound in zip(clips, decoded, strict=True)
            ]
            defined(found, f"{name} with {count} codebooks")
            scores[str(count)][name] = [score.value for score in found]
    return scores


def train_row(plan: Plan, base_name: str, name: str, seed: int, run: Path, sources: Sources) -> None:
    """Train and measure one row with one seed, unless that is done.

    Raises:
        UsageError: the row's teacher is not trained yet, or what is there was trained as another row.
    """
    base = plan.bases[base_name]
    row, folder = base.rows[name], folder_of(run, base_name, name, seed)
    recipe, what = recipe_of_row(plan, base, name, seed), what_of(plan, base_name, name, seed)
    found = folder / RESULT_NAME
    if found.exists():
        if json.loads(found.read_text(encoding="utf-8"))["what"] != what:
            raise UsageError(f"{folder} was trained as another row: remove it, or give another --run")
        return
    build = _build(plan, base_name, row, run)
    model = trained(recipe, folder, sources, base.start, build)
    clips = load_clips(sources["valid"], recipe.model.sample_rate)
    result = {
        "what": what,
        "scores": measure(model, clips, row.num_codebooks or plan.num_codebooks),
        "ms_a_step": 1e3 * read_state(folder / STATE_NAME)["seconds"] / recipe.training.max_steps,
    }
    with AtomicFile(found, force=True) as file:
        file.write(json.dumps(result, indent=1).encode())


def _build(plan: Plan, base_name: str, row: Row, run: Path) -> Build:
    if row.candidate is None:
        return CodecModel
    if row.teacher is None:
        return CANDIDATES[row.candidate]
    base, folder = plan.bases[base_name], folder_of(run, base_name, row.teacher, 0)
    if not (folder / RESULT_NAME).exists():
        raise UsageError(f"the teacher {row.teacher!r} is not trained yet: train that row first")
    teacher_build = _build(plan, base_name, base.rows[row.teacher], run)
    config = recipe_of_row(plan, base, row.teacher).model
    return distilled_from(averaged_model(read_state(folder / STATE_NAME), config, teacher_build))


def what_of(plan: Plan, base_name: str, name: str, seed: int) -> dict[str, Any]:
    """All that tells one training from another; kept with its result."""
    base = plan.bases[base_name]
    recipe = to_mapping(recipe_of_row(plan, base, name, seed))
    return {"recipe": recipe, "candidate": base.rows[name].candidate, "start": base.start}


def folder_of(run: Path, base: str, name: str, seed: int) -> Path:
    """Where a row is trained."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    return run / base / f"{plain}-{seed}"


def results_of(plan: Plan, base_name: str, run: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """What is there of each row of a base by seed; what is of another row is told and left out."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name, row in plan.bases[base_name].rows.items():
        for seed in range(row.seeds):
            path = folder_of(run, base_name, name, seed) / RESULT_NAME
            if not path.exists():
                continue
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["what"] == what_of(plan, base_name, name, seed):
                found.setdefault(name, {})[seed] = result
            else:
                typer.echo(f"{path.parent} was trained as another row: it is left out", err=True)
    return found


def base_table(plan: Plan, base_name: str, run: Path, before: str = "") -> str:
    """The Markdown table of a base: PESQ-WB on the clips that choices are made by, then on all, then STOI.

    Seeds stand beside each other; what stands on all clips is of the first seed. What was trained elsewhere,
    a row or a seed of it, keeps its figures of ``before``, the table as it was.
    """
    counts = plan.num_codebooks
    header = ["", *(f"{count}" for count in counts), *(f"all: {count}" for count in counts)]
    header += [f"STOI at {counts[-2]}", "ms a step"]
    kept = [[cell.strip() for cell in line.strip("|").split("|")] for line in before.splitlines()[2:]]
    rows = {cells[0]: cells for cells in kept if len(cells) == len(header)}
    for name, seeds in results_of(plan, base_name, run).items():
        rows[name] = _row(plan, name, seeds, rows.get(name))
    lines = [rows[name] for name in plan.bases[base_name].rows if name in rows]
    return table(header, lines) if lines else "No row of this table is trained yet."


def _row(
    plan: Plan, name: str, seeds: dict[int, dict[str, Any]], before: Sequence[str] | None
) -> Sequence[str]:
    at_each = range(len(plan.num_codebooks))
    if 0 in seeds or before is None:
        first = seeds[min(seeds)]
        scores = list(first["scores"].values())
        on_all = [_interval(scores[at]["pesq_wb"]) for at in at_each]
        on_all += [f"{_mean(scores[-2]['stoi']):.3f}", f"{first['ms_a_step']:.0f}"]
    else:
        on_all = list(before[1 + len(at_each) :])
    chosen_by = []
    for at in at_each:
        by_seed = dict(enumerate(before[1 + at].split(" / "))) if before else {}
        for seed, result in seeds.items():
            values = list(result["scores"].values())[at]["pesq_wb"]
            by_seed[seed] = f"{_mean(values[: plan.chosen_on]):.3f}"
        chosen_by.append(" / ".join(by_seed[seed] for seed in sorted(by_seed)))
    return [name, *chosen_by, *on_all]


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _interval(values: Sequence[float | None]) -> str:
    found = summarize(Score(value) for value in values)
    return f"{found.mean:.2f} ± {found.half_width:.2f}"


def _set(mapping: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        if not isinstance(mapping.get(part), dict):
            raise CodecError(f"unknown key {key!r}: there is no section {part!r}")
        mapping = mapping[part]
    # A copy, since another row may change a value inside it.
    mapping[last] = copy.deepcopy(value)


def _train(plan: Plan, only: set[str], run: Path, sources: Sources) -> None:
    """Train the rows of a plan, or those of them that are named; a row that fails does not end the others."""
    rows = [(base, name) for base in plan.bases for name in plan.bases[base].rows]
    if unknown := only - {name for row in rows for name in row}:
        raise UsageError(f"no base and no row is called {', '.join(sorted(unknown))}")
    for base, name in rows:
        if not only or only & {base, name}:
            try:
                for seed in range(plan.bases[base].rows[name].seeds):
                    train_row(plan, base, name, seed, run, sources)
            except TrainingStopped:
                raise
            except CodecError as error:
                typer.echo(f"{base}, {name}: {error}", err=True)


def main(
    data: Annotated[list[str] | None, typer.Option(help="What to train on, as of codec train.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="Clips to measure on, never trained on.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Noise to mix in.")] = None,
    run: Annotated[Path, typer.Option(help="Folder for the trainings.")] = Path("runs/ablations"),
    plan: Annotated[Path, typer.Option(help="What to train.")] = HERE / "ablations.yaml",
    only: Annotated[list[str] | None, typer.Option(help="Bases, or rows by name, to train.")] = None,
    report: Report = False,
) -> None:
    """Train short rows that differ in one thing, and tabulate what that is worth."""
    what = read_plan(plan)
    if not report:
        if not data or not valid:
            raise UsageError("--data and --valid are needed: sound to train on, and clips to measure on")
        sources = {"data": data, "noise": noise or [], "valid": valid}
        _train(what, set(only or ()), run, sources)
    for base_name in what.bases:
        section = f"ablations {base_name}"
        text = base_table(what, base_name, run, read_section(README, section) if report else "")
        print(text)
        if report:
            write_section(README, section, text)


if __name__ == "__main__":
    run_command(main)
