"""The study of estimators: its finite differences, its trainings, its quick form from end to end."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from recipes.common.records import Records
from recipes.estimators.autoencoder import Mixture
from recipes.estimators.gradients import Point, finite_differences, measure_gradients
from recipes.estimators.report import training_table
from recipes.estimators.run import HERE, main
from recipes.estimators.study import Setting, read_study, settings
from recipes.estimators.train import train


def test_finite_differences_are_the_gradient_of_a_smooth_function() -> None:
    at = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    slopes = finite_differences(lambda x: (x**3).sum() + x[0] * x[1], at, step=1e-4)
    expected = 3 * at**2 + torch.tensor([-1.2, 0.3, 0.0], dtype=torch.float64)
    assert torch.allclose(slopes, expected, atol=1e-6)


def test_nsvq_sends_the_gradient_of_its_own_loss() -> None:
    study = read_study(HERE / "config.yaml")
    size = dataclasses.replace(study.quick, vectors=300)
    found = measure_gradients(Setting("gradients", "nsvq", "care", 0), study, size)
    assert found["words"]["own_cosine"] == pytest.approx(1.0, abs=1e-3)
    assert found["encoder"]["own_cosine"] == pytest.approx(1.0, abs=1e-3)
    # Straight-through does not: it leaves out how the value jumps.
    other = measure_gradients(Setting("gradients", "ste", "care", 0), study, size)
    assert other["encoder"]["own_cosine"] < 0.9


def test_the_point_of_all_estimators_is_the_same() -> None:
    study = read_study(HERE / "config.yaml")
    points = [
        Point(Setting("gradients", name, "care", 1), study, study.quick)  # type: ignore[arg-type]
        for name in ("nsvq", "rotation")
    ]
    assert torch.equal(points[0].parameter, points[1].parameter)
    rows = slice(None)
    losses = [point.hard_loss(point.parameter, rows) for point in points]
    assert losses[0] == losses[1]
    # The words are displaced, so that there is something to learn.
    moved = finite_differences(lambda at: points[0].hard_loss(at, rows), points[0].parameter, 0.05)
    better = points[0].parameter - 0.1 * moved
    assert points[0].hard_loss(better, rows) < losses[0]


def test_vectors_have_unit_variance_and_depend_on_few_sources() -> None:
    study = read_study(HERE / "config.yaml")
    vectors = Mixture(study).draw(20_000, torch.Generator().manual_seed(0))
    assert vectors.square().mean() == pytest.approx(1.0, abs=0.3)
    energies = torch.linalg.svdvals(vectors - vectors.mean(dim=0)).square()
    assert energies[: study.sources].sum() > 0.9 * energies.sum()


def test_care_keeps_words_in_use_and_lowers_the_error() -> None:
    study = read_study(HERE / "config.yaml")
    training = dataclasses.replace(study.quick.training, updates=100)
    size = dataclasses.replace(study.quick, training=training)
    found = {
        form: train(Setting("training", "ste", form, 0), study, size)  # type: ignore[arg-type]
        for form in ("care", "bare")
    }
    assert found["care"]["unused"] < found["bare"]["unused"]
    assert found["care"]["test_error"] < found["bare"]["test_error"]


def test_updates_to_equal_error_are_those_to_the_worst_last_one() -> None:
    def run(errors: list[float]) -> dict[int, dict[str, object]]:
        curve = [{"updates": 10 * (i + 1), "test_error": error} for i, error in enumerate(errors)]
        return {0: {"test_error": errors[-1], "perplexity": 3.0, "unused": 0.0, "curve": curve}}

    text = training_table({"nsvq": run([0.5, 0.3, 0.2]), "ste": run([0.6, 0.4, 0.3]), "ema": {}})  # type: ignore[dict-item]
    assert "| NSVQ | 1 | 200.00 | - | 3 | 0.0 | 20 |" in text
    assert "| STE | 1 | 300.00 | - | 3 | 0.0 | 30 |" in text
    assert "EMA" not in text


def test_the_quick_study_runs_resumes_and_reports(tmp_path: Path) -> None:
    main(quick=True, runs=tmp_path, images=tmp_path / "none")
    path = tmp_path / "quick.jsonl"
    whole = path.read_bytes()
    assert len(Records(path)) == len(settings(read_study(HERE / "config.yaml").quick))
    path.write_bytes(b"\n".join(whole.split(b"\n")[:-3]) + b"\n")
    main(quick=True, runs=tmp_path, images=tmp_path / "none")
    assert path.read_bytes() == whole
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "### Gradients against finite differences" in text
    assert "Toy vectors, 5 bit, uniform start, no replacement" in text
    assert "Images" not in text
    assert (tmp_path / "curves.png").stat().st_size > 10_000
