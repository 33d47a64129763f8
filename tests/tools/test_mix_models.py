"""Models on the way between two."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from codec.checkpoint import load_model, save_model
from tests.small_model import SMALL, small_model
from tests.tools.conftest import call_tool


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "first", tmp_path / "second"
    for seed, folder in enumerate(folders):
        # How codes are searched in training is no matter of the weights.
        bottleneck = dataclasses.replace(SMALL.bottleneck, train_beam=1 + seed)
        config = dataclasses.replace(SMALL, name=folder.name, bottleneck=bottleneck)
        save_model(small_model(seed, config), folder)
    return folders


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_is_on_the_way(folders: tuple[Path, Path], tmp_path: Path, share: float) -> None:
    outcome = call_tool("mix_models.py", *folders, tmp_path / "mixed", "--share", str(share))
    assert outcome.exit_code == 0
    first, second, mixed = (load_model(folder) for folder in (*folders, tmp_path / "mixed"))
    assert mixed.config == dataclasses.replace(second.config, name="mixed")
    assert mixed.entropy is None
    named = dict(mixed.named_parameters())
    for (name, start), (_, end) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        torch.testing.assert_close(named[name], (1 - share) * start + share * end, atol=1e-3, rtol=1e-3)


def test_models_of_two_kinds_are_one_sentence(folders: tuple[Path, Path], tmp_path: Path) -> None:
    save_model(small_model(0, dataclasses.replace(SMALL, dim=8)), tmp_path / "other")
    for second, code in ((tmp_path / "other", 2), (tmp_path / "nothing", 1)):
        outcome = call_tool("mix_models.py", folders[0], second, tmp_path / "mixed")
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (code, 1)
        assert second.name in outcome.stderr
    assert not (tmp_path / "mixed").exists()
