"""docs/results.md is of the shipped models, as its tools print it; README.md and cards agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codec import DEFAULT_MODEL, Codec
from tests.tools.conftest import load_tool

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {"ViSQOL": "ViSQOL speech"}
SHIPPED = {DEFAULT_MODEL: "Quality on unseen speakers", "speech_16k_small_2": "The small model"}


def tables(text: str) -> list[dict[str, dict[str, str]]]:
    """The Markdown tables of a text: cells by row and column."""
    blocks: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            blocks[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif blocks[-1]:
            blocks.append([])
    return [
        {row[0]: dict(zip(block[0], row, strict=True)) for row in block[2:]}
        for block in blocks
        if len(block) > 2
    ]


def results() -> str:
    return (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def measured(heading: str) -> list[dict[str, str]]:
    """The figures of all settings under a heading of the results, in their order."""
    quality, rates = tables(results().split(f"\n## {heading}\n")[1])[:2]
    return [{"setting": name} | rates[name] | quality[name] for name in quality]


@pytest.mark.parametrize("model", SHIPPED)
def test_the_results_are_of_the_shipped_models(model: str) -> None:
    assert f"\n{model} ({Codec.load(model).id.hex()}), " in results()
    assert DEFAULT_MODEL in (ROOT / "docs" / "listen.html").read_text(encoding="utf-8")


def test_the_speeds_are_those_of_all_rates_that_are_timed() -> None:
    timed = load_tool("bench_speed.py").RATES.split(",")
    blocks = re.findall(r"^files  .*?^live", results(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        shown = [":".join(line.split()[:2]) for line in block.splitlines()[1:-1]]
        assert shown == timed


def test_the_table_in_the_readme_is_the_measured_one() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = tables(readme.split("<!-- results -->")[1].split("<!-- end of results -->")[0])[0]
    figures = {row["setting"]: row for row in measured(SHIPPED[DEFAULT_MODEL])}
    assert len(shown) >= 4
    for setting, cells in shown.items():
        assert cells == {name: figures[setting][COLUMNS.get(name, name)] for name in cells}


@pytest.mark.parametrize("model", SHIPPED)
def test_the_table_of_a_card_is_the_measured_one(model: str) -> None:
    card = (ROOT / "checkpoints" / model / "CARD.md").read_text(encoding="utf-8")
    lines = card[card.index("| mode |") :].split("\n\n")[0].splitlines()
    names, _, *shown = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines]
    assert len(shown) == 8
    for cells, figures in zip(shown, measured(SHIPPED[model]), strict=False):
        assert cells == [figures[COLUMNS.get(name, name)] for name in names]
