"""The study on toy data: its vectors, its command line, what it takes up again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from codec.errors import CodecError, UsageError
from recipes.toy.claims import claims
from recipes.toy.report import write_report
from recipes.toy.run import HERE, main
from recipes.toy.study import (
    draw_vectors,
    held_out_vectors,
    read_published,
    read_study,
    settings,
    variance,
    wmops,
)
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


def test_a_report_of_single_runs_decides_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="of the extra recipes")
    study, published = read_study(HERE / "config.yaml"), read_published(HERE / "published.json")
    place = ("uncorrelated", 64, 20)
    errors = {(*place, "residual"): {0: 100.0}, (*place, "product"): {0: 90.0}}
    write_report(study, study.reduced, errors, 7, published, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "7 runs of this size are not finished yet." in text
    claim = "uncorrelated, D = 64: product below residual"
    assert f"| {claim} | - | - | 10.00 | - | - | not decided |" in text
    assert "additive below" not in text
    errors = {(*place, "residual"): {0: 100.0, 1: 101.0}, (*place, "product"): {0: 90.0, 1: 91.0}}
    write_report(study, study.reduced, errors, 7, published, tmp_path)
    assert f"| {claim} | - | - | 9.95 ± 0.63 | - | - | holds |" in (tmp_path / "README.md").read_text()


def test_a_cheaper_search_is_compared_at_the_cost_of_the_dearer_one() -> None:
    study = read_study(HERE / "config.yaml")
    size, errors = study.reduced, {}
    for method in ("residual", "product"):
        for bits in size.bits:
            # The error falls with the cost alone.
            cost = wmops(study, 64, bits, method)  # type: ignore[arg-type]
            errors["correlated", 64, bits, method] = {seed: (2 + seed) / cost for seed in (0, 1)}
    found = claims(study, size, errors).splitlines()
    row = next(line for line in found if "at the cost of residual" in line)
    assert re.search(r"below residual \| -?0\.00 ± 0\.00 \| -?0\.00", row), row
    assert row.split(" | ")[4:6] == ["-", "-"]
