"""The study on toy data: its vectors, its command line, what it takes up again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from codec.errors import CodecError, UsageError
from recipes.toy.run import HERE, main
from recipes.toy.study import draw_vectors, held_out_vectors, read_published, read_study, settings, variance
from recipes.toy.train import run


@pytest.mark.parametrize("data", ["correlated", "uncorrelated"])
def test_vectors_have_the_variance_and_the_rank_that_the_published_errors_imply(data: str) -> None:
    x = draw_vectors(data, 64, 20_000, seed=1)  # type: ignore[arg-type]
    assert float(x.square().mean()) == pytest.approx(variance(data), rel=0.02)  # type: ignore[arg-type]
    values = torch.linalg.eigvalsh(x.t() @ x / len(x)).flip(0)
    if data == "correlated":
        assert values[16] < 1e-3 < values[15]
    else:
        assert values[0] < 1.3 * values[-1]
    assert not torch.equal(x[:100], held_out_vectors(data, 64, 100))  # type: ignore[arg-type]


def test_published_settings_run_first_and_none_runs_twice() -> None:
    study = read_study(HERE / "config.yaml")
    found = settings(study, study.reduced)
    assert len(set(found)) == len(found)
    first = [each.method for each in found].index("lsq")
    assert all(each.method == "lsq" for each in found[first:])
    assert {(each.data, each.dim) for each in found[:150]} == {("correlated", 64), ("uncorrelated", 64)}


def test_a_wrong_configuration_is_named(tmp_path: Path) -> None:
    text = (HERE / "config.yaml").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("bits: [8, 12]", "bits: [8, 13]"))
    with pytest.raises(CodecError, match="multiples of the 4 codebooks"):
        read_study(path)
    path.write_text(text.replace("held_out: 500", "heldout: 500"))
    with pytest.raises(CodecError, match="heldout"):
        read_study(path)


def test_a_run_repeats_to_the_bit() -> None:
    study = read_study(HERE / "config.yaml")
    setting = settings(study, study.quick)[0]
    first, second = (run(setting, study, study.quick) for _ in range(2))
    assert first["mse"] == second["mse"]


def test_the_quick_study_goes_on_where_it_stopped_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss", reason="of the extra recipes")
    pytest.importorskip("matplotlib", reason="of the extra recipes")
    main(quick=True, runs=tmp_path)
    runs = tmp_path / "quick.jsonl"
    whole = runs.read_text()
    # The last run is gone, as after an interrupt in the midst of writing it.
    runs.write_text(whole[:-30])
    capsys.readouterr()
    main(quick=True, runs=tmp_path)
    assert capsys.readouterr().err.count("Setting(") == 1
    assert len(runs.read_text().splitlines()) == len(whole.splitlines())
    assert (tmp_path / "errors.png").stat().st_size > 10_000
    text = (tmp_path / "README.md").read_text()
    assert re.search(r"^\| additive \| \d+\.\d+ ± \d+\.\d+ \|", text, re.MULTILINE)
    published = next(each for each in read_published(HERE / "published.json") if each.data == "correlated")
    assert f"| *additive, published* | - | {published.additive[0]:.3f} |" in text


def test_both_sizes_at_once_are_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        main(quick=True, full=True, runs=tmp_path)
