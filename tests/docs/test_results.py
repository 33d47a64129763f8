"""The figures in README.md are those of docs/results.md."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {"ViSQOL": "ViSQOL speech"}


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


def test_the_table_in_the_readme_is_the_measured_one() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = tables(readme.split("<!-- results -->")[1].split("<!-- end of results -->")[0])[0]
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    quality, rates = tables(results.split("\n## Quality on unseen speakers\n")[1])[:2]
    assert len(shown) >= 4
    for setting, cells in shown.items():
        measured = rates[setting] | quality[setting]
        assert cells == {name: measured[COLUMNS.get(name, name)] for name in cells}
