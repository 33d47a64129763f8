"""Two evaluations of the same clips, compared clip by clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.conftest import call_tool

HEADER = "clip,setting,seconds,pesq_wb,stoi,pesq_wb_missing,stoi_missing\n"


def folder(path: Path, rows: str, header: str = HEADER) -> Path:
    path.mkdir()
    (path / "clips.csv").write_text(header + rows, encoding="utf-8")
    return path


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_a_change_that_all_clips_share_shows_however_much_they_differ(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    before = folder(
        tmp_path / "a", "x,3 kbit/s,1,1.0,0.9,,\ny,3 kbit/s,1,2.0,0.8,,\nz,3 kbit/s,1,4.0,0.7,,\n"
    )
    after = folder(tmp_path / "b", "z,3 kbit/s,1,4.2,0.8,,\nx,3 kbit/s,1,1.2,0.8,,\ny,3 kbit/s,1,2.2,0.8,,\n")
    header, _, row = cells(call_tool("compare_evaluations.py", before, after).stdout)
    assert header == ["setting", "PESQ-WB", "STOI"]
    assert row == ["3 kbit/s", "+0.200 ± 0.000 *", "+0.000 ± 0.248"]


def test_only_what_both_have_is_compared(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    rows = "x,3 kbit/s,1,1.0,,,too short\ny,3 kbit/s,1,2.0,,,too short\nx,6 kbit/s,1,3.0,0.9,,\n"
    before = folder(tmp_path / "a", rows)
    after = folder(tmp_path / "b", "x,3 kbit/s,1,1.5,0.9,,\nx,6 kbit/s,1,2.5,0.9,,\nx,9 kbit/s,1,2.5,0.9,,\n")
    assert cells(call_tool("compare_evaluations.py", before, after).stdout)[2:] == [
        ["3 kbit/s", "+0.500", "-"],
        ["6 kbit/s", "-0.500", "+0.000"],
    ]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ("", "what,ever\nx,1\n", "give the folder of codec evaluate --out"),
        ("other,3 kbit/s,1,1.0,0.9,,\n", HEADER, "nothing to compare"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_sentence(
    tmp_path: Path, rows: str, header: str, message: str
) -> None:
    before = folder(tmp_path / "a", "x,3 kbit/s,1,1.0,0.9,,\n")
    outcome = call_tool("compare_evaluations.py", before, folder(tmp_path / "b", rows, header))
    assert outcome.exit_code != 0
    assert message in outcome.stderr
    outcome = call_tool("compare_evaluations.py", before, tmp_path / "none")
    assert outcome.exit_code == 1
    assert "clips.csv is not readable" in outcome.stderr
