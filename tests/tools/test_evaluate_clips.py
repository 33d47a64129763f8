from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.tools.conftest import call_tool


def test_a_checkpoint_is_measured_at_every_setting(checkpoint: Path, clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    outputs = ["--csv", tmp_path / "o.csv", "--markdown", tmp_path / "o.md"]
    settings = ["--bitrates", "3", "--codebooks", "1, 12", "--metrics", "si_sdr", "--split", "1"]
    result = call_tool("evaluate_clips.py", clips, "--model", checkpoint, *settings, *outputs)
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "o.csv").open(encoding="utf-8")))
    assert [row["setting"] for row in rows] == [
        label for label in ("3 kbit/s", "1 codebook", "12 codebooks") for _ in range(2)
    ]
    # A codebook is 10 bits at 50 frames a second. A frame more, which carries the codec's delay, makes a
    # second block; a byte in the first one and three in the short one tell what is in them.
    assert [int(row["payload_bytes"]) for row in rows[:4:2]] == [
        1 + -(-10 * n * 100 // 8) + 3 + -(-10 * n // 8) for n in (6, 1)
    ]
    text = (tmp_path / "o.md").read_text(encoding="utf-8")
    assert text.startswith("tiny (")
    assert "1 thread(s)" in text
    for group in ("all 2 clips:", "the first 1:", "the other 1:"):
        assert group in text
    assert text.count("| 12 codebooks |") == 3
    assert "12 codebooks" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--codebooks", "six"], "take numbers with commas between them"),
        (["--bitrates", ""], "nothing to measure"),
        (["--metrics", "loudness"], "'loudness' is no metric"),
        (["--codebooks", "13"], "1..12"),
        (["--csv", "missing/o.csv"], "missing"),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(
    arguments: list[str], sentence: str, checkpoint: Path, clips: Path
) -> None:
    result = call_tool("evaluate_clips.py", clips, "--model", checkpoint, *arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
