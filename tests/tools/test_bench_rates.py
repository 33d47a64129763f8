from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.conftest import call_tool


@pytest.fixture
def long_clips(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two sounds of seven seconds, one with a pause."""
    folder = tmp_path / "long"
    folder.mkdir()
    for index in range(2):
        sound = 0.1 * rng.standard_normal(7 * 16_000)
        sound[20_000 : 20_000 + 30_000 * index] = 0.0
        soundfile.write(folder / f"{index}.wav", sound, 16_000)
    return folder


def test_modes_are_compared_at_equal_rates(checkpoint: Path, long_clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("matplotlib")
    options = ["--codebooks", "1,4,8,12", "--bitrates", "2,4", "--qualities", "0,5,10", "--targets", "3"]
    plot = tmp_path / "rates.png"
    result = call_tool("bench_rates.py", long_clips, "--model", checkpoint, *options, "--plot", plot)
    assert result.exit_code == 0, result.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    rates = {(row[0], row[1]): float(row[2]) for row in rows if len(row) == 6 and row[5].endswith(" x")}
    assert rates["cbr", "8"] > rates["cbr", "1"]
    for target in ("2", "4"):
        for mode in ("abr", "abr, two passes"):
            assert rates[mode, target] == pytest.approx(float(target), rel=0.05)
    # How many there are depends on the noise: a rate is compared where measured ones lie on both its sides.
    assert any(row[1] in ("abr", "abr, two passes", "vbr") for row in rows if len(row) == 6)
    (abr, two) = [row for row in rows if len(row) == 4 and row[0] == "3"]
    assert abs(float(abr[3])) < 1.0
    assert abs(float(two[3])) < 1.0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_missing_folder_is_told_in_a_sentence(checkpoint: Path, tmp_path: Path) -> None:
    result = call_tool("bench_rates.py", tmp_path / "none", "--model", checkpoint)
    assert result.exit_code == 2
    assert "is not a folder" in result.stderr
