"""The measurement of entropy tables prints what it says, and asks for tables where there are none."""

from __future__ import annotations

from pathlib import Path

from codec.bitstream import EntropyCoder
from codec.checkpoint import save_model
from tests.bitstream.small_tables import random_tables
from tests.small_model import small_model
from tests.tools.conftest import run_tool


def test_a_row_for_each_number_of_codebooks(tmp_path: Path) -> None:
    model = small_model()
    model.entropy = EntropyCoder(random_tables(4, 16))
    save_model(model, tmp_path / "small")
    done = run_tool("bench_entropy.py", "--model", tmp_path / "small", "--codebooks", "1,4")
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "4"]
    for row in rows:
        # Whole frames take a little more than the sound; payloads are never longer than raw ones.
        assert 0.2 * int(row[0]) <= float(row[1]) <= 0.22 * int(row[0])
        assert float(row[2]) <= 1.05 * float(row[1])


def test_a_model_without_tables_is_a_sentence(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path / "small")
    done = run_tool("bench_entropy.py", "--model", tmp_path / "small")
    assert done.exit_code == 1
    assert "no entropy tables" in done.stderr
