from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codec import Codec
from codec.evaluation.metrics import missing_package
from tests.tools.conftest import call_tool, run_tool


def table_rows(output: str) -> list[list[str]]:
    """The cells of the printed table below its heading; runs of two blanks part them."""
    lines = [line for line in output.splitlines() if " kB " in line or " B " in line or "mean " in line]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_demo_writes_real_files_and_a_page_and_prints_one_table(
    checkpoint: Path, clips: Path, tmp_path: Path
) -> None:
    pytest.importorskip("librosa")
    result = run_tool("demo.py", "--model", checkpoint, "--clips", clips, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    files = sorted((tmp_path / "demo").glob("*.nac"))
    names = [f"{clip}_{rate}kbps.nac" for clip in ("one", "two <b>&") for rate in ("1.5", "3", "6")]
    assert [file.name for file in files] == names
    codec = Codec.load(checkpoint)
    audio, sample_rate = codec.decode(files[0].read_bytes())
    assert (audio.shape, sample_rate) == ((32_000,), 16_000)

    rows = table_rows(result.stdout)
    assert len(rows) == 3 * (2 + 1)
    # The printed rate is the size of the file over its 2 s.
    size = next(file for file in files if file.name == "one_3kbps.nac").stat().st_size
    assert f"{8e-3 * size / 2:.2f}" in next(row for row in rows if row[0] == "3 kbit/s")

    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    for text in ("two &lt;b&gt;&amp;", codec.id.hex(), "tiny"):
        assert text in page
    assert "two <b>" not in page
    assert (tmp_path / "demo" / "index.html").as_uri() in result.stdout
    assert not list((tmp_path / "demo").glob(".*"))


def test_without_pesq_its_column_has_dashes(
    checkpoint: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that does not import is what a machine without a C compiler has."""
    pytest.importorskip("librosa")
    monkeypatch.setitem(sys.modules, "pesq", None)
    missing_package.cache_clear()
    try:
        result = call_tool("demo.py", "--model", checkpoint, "--clips", clips, "--out", tmp_path / "out")
    finally:
        missing_package.cache_clear()
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out" / "index.html").is_file()
    assert "PESQ-WB" in result.stdout
    rows = table_rows(result.stdout)
    assert len(rows) == 9
    assert all("-" in row for row in rows)


@pytest.mark.parametrize(
    ("option", "value", "code", "sentence"),
    [
        ("--model", "no_such_model", 1, "no_such_model"),
        ("--clips", "nowhere", 2, "nowhere is not a folder"),
        ("--out", __file__, 2, "cannot be made a folder"),
    ],
)
def test_what_is_missing_is_told_in_one_sentence(
    option: str, value: str, code: int, sentence: str, checkpoint: Path, clips: Path, tmp_path: Path
) -> None:
    defaults = ["--model", str(checkpoint), "--clips", str(clips), "--out", str(tmp_path)]
    result = call_tool("demo.py", *defaults, option, value)
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
