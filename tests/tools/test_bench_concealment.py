"""The benchmark of concealment tells every way of decoding, and refuses what it cannot measure."""

from __future__ import annotations

from pathlib import Path

from codec.evaluation.metrics import available
from tests.tools.conftest import call_tool


def test_every_loss_and_way_is_in_the_table(checkpoint: Path, clips: Path, tmp_path: Path) -> None:
    if not available("pesq_wb"):
        return
    pattern = tmp_path / "pattern.txt"
    pattern.write_text("0001")
    arguments = ["--model", checkpoint, "--losses", f"0.2,{pattern}", "--seeds", "2", "--bitrate", "1"]
    result = call_tool("bench_concealment.py", clips, *arguments, "--markdown", tmp_path / "table.md")
    assert result.exit_code == 0, result.stderr
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table.strip() == result.stdout.strip()
    for loss in ("0.2", str(pattern)):
        for way in ("zeros", "at once", "bridged"):
            assert f"| {loss} | {way} | " in table
    assert table.count("| zeros |") == table.count("| 100.0% |") == 2


def test_a_wrong_loss_is_refused(checkpoint: Path, clips: Path) -> None:
    result = call_tool(
        "bench_concealment.py", clips, "--model", checkpoint, "--losses", "1.5", "--bitrate", "1"
    )
    assert (result.exit_code, "0..1" in result.stderr) == (2, True)
