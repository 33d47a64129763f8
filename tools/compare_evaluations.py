"""Compare two evaluations of the same clips, clip by clip: how much each metric changed, and how surely.

    codec evaluate MODEL CLIPS --out BEFORE
    codec evaluate OTHER CLIPS --out AFTER
    python tools/compare_evaluations.py BEFORE AFTER

Clips differ from each other by more than models do. The interval of the differences leaves that out, so it
tells changes that the intervals of the two means would hide.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError, UsageError

NAME = "clips.csv"

Rows = dict[tuple[str, str], dict[str, str]]


def read_clips(folder: Path) -> Rows:
    """The rows of the table that `codec evaluate --out` leaves in a folder, by setting and clip.

    Raises:
        CodecError: it is not there, or not such a table.
    """
    path = folder / NAME
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {(row["setting"], row["clip"]): row for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise CodecError(f"{path} is not readable: give the folder of codec evaluate --out") from error


def compare(before: Rows, after: Rows) -> str:
    """A Markdown table: the mean difference of each metric at each setting, with its 95 % interval.

    Raises:
        UsageError: the evaluations have no clip, setting and metric in common.
    """
    from codec.evaluation.report import metric_label

    common = [key for key in before if key in after]
    settings = list(dict.fromkeys(setting for setting, _ in common))
    columns = [] if not common else [set(rows[common[0]]) for rows in (before, after)]
    metrics = [
        name.removesuffix("_missing")
        for name in (before[common[0]] if common else ())
        if name.endswith("_missing") and all(name in names for names in columns)
    ]
    if not metrics:
        raise UsageError("the two evaluations have no clip, setting and metric in common: nothing to compare")
    lines = [["setting", *map(metric_label, metrics)], ["---"] + ["---:"] * len(metrics)]
    for setting in settings:
        pairs = [(before[key], after[key]) for key in common if key[0] == setting]
        lines.append([setting, *(difference(pairs, name) for name in metrics)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def difference(pairs: list[tuple[dict[str, str], dict[str, str]]], metric: str) -> str:
    """The mean of after less before, over the clips that have both; ``*`` where its interval leaves out 0."""
    from codec.evaluation.scores import Score
    from codec.evaluation.statistics import summarize

    both = [pair for pair in pairs if all(row[metric] for row in pair)]
    found = summarize(Score(float(second[metric]) - float(first[metric])) for first, second in both)
    if found.mean is None:
        return "-"
    if found.half_width is None:
        return f"{found.mean:+.3f}"
    sure = " *" if abs(found.mean) > found.half_width else ""
    return f"{found.mean:+.3f} ± {found.half_width:.3f}{sure}"


def main(
    before: Annotated[Path, typer.Argument(help="Folder that codec evaluate --out wrote.")],
    after: Annotated[Path, typer.Argument(help="Such a folder of another model, on the same clips.")],
) -> None:
    """Compare two evaluations of the same clips, clip by clip: after less before, * where 0 is excluded."""
    try:
        text = compare(read_clips(before), read_clips(after))
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(text, nl=False)


if __name__ == "__main__":
    typer.run(main)
