"""The swiss roll study: its data, its runs, its quick form from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.common.records import Records
from recipes.swiss_roll.run import HERE, main
from recipes.swiss_roll.study import Setting, Size, read_study, settings, swiss_roll
from recipes.swiss_roll.train import train

SIZE = Size(updates=150, batch=64, seeds=1, replace_every=50, curve_every=50, test_points=2000)


def test_points_lie_along_a_spiral_of_unit_variance() -> None:
    points = swiss_roll(20_000, noise=0.0, generator=torch.Generator().manual_seed(0))
    assert points.std(dim=0).tolist() == pytest.approx([1.0, 1.0], abs=0.1)
    # On a spiral the radius tells the angle, up to whole turns.
    radius = 6.94 * points.norm(dim=1)
    direction = torch.atan2(points[:, 1], points[:, 0])
    turns = (radius - direction) / (2 * torch.pi)
    assert (turns - turns.round()).abs().max() < 1e-3


def test_nsvq_is_straight_through_where_nothing_follows_the_quantizer() -> None:
    study = read_study(HERE / "config.yaml")
    words = [
        torch.tensor(train(Setting("inside", name, False, 3), study, SIZE)["words"])
        for name in ("nsvq", "ste")
    ]
    assert (words[0] - words[1]).abs().max() < 2e-3
    other = torch.tensor(train(Setting("inside", "ema", False, 3), study, SIZE)["words"])
    assert (words[0] - other).abs().max() > 0.01


@pytest.mark.parametrize("estimator", ["nsvq", "ste", "ema"])
def test_replacement_brings_dead_words_back(estimator: str) -> None:
    study = read_study(HERE / "config.yaml")
    dead = [
        train(Setting("inside", estimator, swap, 0), study, SIZE)["dead"]  # type: ignore[arg-type]
        for swap in (False, True)
    ]
    assert dead[1] < dead[0] / 2


def test_the_quick_study_runs_resumes_and_reports(tmp_path: Path) -> None:
    main(quick=True, runs=tmp_path)
    path = tmp_path / "quick.jsonl"
    whole = path.read_bytes()
    expected = len(settings(read_study(HERE / "config.yaml").quick))
    assert len(Records(path)) == expected
    lines = whole.split(b"\n")
    path.write_bytes(b"\n".join(lines[:-4]) + b"\n")
    main(quick=True, runs=tmp_path)
    assert path.read_bytes() == whole
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| outside, NSVQ, replacement |" in text
    assert " - |" not in text
    assert (tmp_path / "codebooks.png").stat().st_size > 10_000
    assert (tmp_path / "curves.png").stat().st_size > 10_000
