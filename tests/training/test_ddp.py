"""Two processes that train together stay one model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.sounds import write_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks recorded; in steps 6 and 11 to 13 the second one has a batch with a NaN."""
    folder = tmp_path_factory.mktemp("ddp")
    clips, run = write_folder(folder / "clips"), folder / "run"
    program = [sys.executable, "-m", "tests.training.ddp_run", str(clips), str(run), "6", "11", "12", "13"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [torch.load(run / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_ranks_train_on_different_sound(ranks: list[dict[str, Any]]) -> None:
    for first, second in zip(ranks[0]["steps"], ranks[1]["steps"], strict=True):
        assert not torch.equal(first["input"], second["input"])


@pytest.mark.parametrize("name", ["words", "counts", "weights", "average"])
def test_ranks_stay_equal_bit_for_bit(ranks: list[dict[str, Any]], name: str) -> None:
    """Through the k-means start before step 4 and the replacements in steps 5, 8 and 11."""
    for step, (first, second) in enumerate(zip(ranks[0]["steps"], ranks[1]["steps"], strict=True)):
        assert torch.equal(first[name], second[name]), step


def test_words_were_started_and_replaced(ranks: list[dict[str, Any]]) -> None:
    steps = ranks[0]["steps"]
    assert [step["quantizing"] for step in steps] == 4 * [False] + 9 * [True]
    assert not torch.equal(steps[3]["words"], steps[4]["words"])
    assert sum(steps[index]["replaced"] for index in (5, 8, 11)) > 0


def test_usage_counts_every_rank_once(ranks: list[dict[str, Any]]) -> None:
    """Two ranks with 3 segments each, all of which use the first codebook."""
    counted = [int(step["counts"][0].sum()) for step in ranks[0]["steps"]]
    rows = 2 * 3 * 21  # a segment of 20 hops fills 21 frames, as the codec is late by one
    # Counted since step 4, judged and reset in steps 5, 8 and 11.
    assert counted[4:] == [rows, 0, rows, 2 * rows, 0, rows, 2 * rows, 0, rows]


def test_a_bad_batch_on_one_rank_is_skipped_on_both(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        steps = rank["steps"]
        assert [step["skipped"] for step in steps] == [0] * 6 + [1] * 5 + [2, 3]
        assert torch.equal(steps[5]["weights"], steps[6]["weights"])
        assert not torch.equal(steps[6]["weights"], steps[7]["weights"])


def test_three_bad_batches_stop_both_ranks_with_a_sentence(ranks: list[dict[str, Any]]) -> None:
    for index, rank in enumerate(ranks):
        assert "not finite" in rank["error"]
        assert f"bad_batch_{index}.pt" in rank["error"]
