"""The benchmark of the search in fewer directions runs and prints a line for each share."""

from __future__ import annotations

from pathlib import Path

from tests.tools.conftest import run_tool


def test_every_share_has_a_line(checkpoint: Path, clips: Path) -> None:
    result = run_tool("bench_search.py", clips, "--model", checkpoint, "--seconds", "1", "--rounds", "1")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "| left out | directions | 1 codebooks | 3 codebooks | 7 codebooks | 12 codebooks |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 0 %", "| 0.1 %", "| 1 %", "| 2 %", "| 5 %"]


def test_a_model_that_is_not_there_is_named(clips: Path) -> None:
    result = run_tool("bench_search.py", clips, "--model", "nobody")
    assert result.exit_code
    assert "nobody" in result.stderr
    assert "Traceback" not in result.stderr
