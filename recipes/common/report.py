"""What the studies' reports share: tables, sections of a README, intervals and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from codec.errors import CodecError
from codec.evaluation.metrics import Score
from codec.evaluation.statistics import Summary, summarize
from codec.extras import require


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(readme: Path, name: str, text: str) -> None:
    """Put text between the lines ``<!-- name -->`` and ``<!-- /name -->`` of a README.

    Raises:
        CodecError: the README has no such lines.
    """
    before, _, after = _around_section(readme, name)
    start, end = _marks(name)
    readme.write_text(f"{before}{start}{text.strip()}\n{end}{after}", encoding="utf-8")


def read_section(readme: Path, name: str) -> str:
    """What `write_section` put there.

    Raises:
        CodecError: the README has no such lines.
    """
    return _around_section(readme, name)[1].strip()


def write_nothing_yet(readme: Path) -> None:
    """Say in the section ``results`` that there are none, unless it shows some, whose runs may be gone."""
    if not read_section(readme, "results"):
        write_section(readme, "results", "No run of this size is finished yet.")


def _around_section(readme: Path, name: str) -> tuple[str, str, str]:
    """What is before a section, in it, and behind it."""
    start, end = _marks(name)
    before, found, rest = readme.read_text(encoding="utf-8").partition(start)
    section, closed, after = rest.partition(end)
    if not found or not closed:
        raise CodecError(f"{readme} needs the lines <!-- {name} --> and <!-- /{name} --> for its results")
    return before, section, after


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->\n", f"<!-- /{name} -->"


def start_readme(folder: Path) -> Path:
    """The README of a folder, made with an empty section ``results`` where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    readme = folder / "README.md"
    if not readme.exists():
        readme.write_text("<!-- results -->\n<!-- /results -->\n", encoding="utf-8")
    return readme


def interval(values: Iterable[float]) -> Summary:
    """The mean of some seeds' values with Student's 95 % interval."""
    return summarize(Score(value) for value in values)


def number_text(counts: Iterable[int]) -> str:
    """How many runs the settings of a study have: one number if all have as many, else from and to."""
    found = sorted(set(counts)) or [0]
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The mean and half its 95 % interval as text; a single value alone, and a dash for none."""
    found = interval(values)
    if found.mean is None:
        return "-"
    half = "" if found.half_width is None else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"


def deviation_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """The standard deviation of the second values over that of the first, and its 95 % interval.

    The interval is that of normal draws (F distribution), two or more of each; equal values give infinity.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.std(second, ddof=1) / np.std(first, ddof=1))
    fdtri = require("scipy.special", extra="eval").fdtri
    degrees = len(second) - 1, len(first) - 1
    most, least = (float(fdtri(*degrees, share)) ** 0.5 for share in (0.975, 0.025))
    return ratio, ratio / most, ratio / least


def verdict(differences: Sequence[float]) -> str:
    """Whether differences, one a seed, show that something is larger: by their 95 % interval.

    "holds" with an interval above zero, "does not hold" below it, "equal" where all are zero, "not decided"
    with zero inside or with a single seed.
    """
    found = interval(differences)
    if found.mean is None:
        return "not run"
    if not any(differences):
        return "equal"
    if found.half_width is None or abs(found.mean) <= found.half_width:
        return "not decided"
    return "holds" if found.mean > 0 else "does not hold"
