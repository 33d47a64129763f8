"""What the studies share: finished runs, report sections, verdicts."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import pytest
import torch

from codec.errors import CodecError
from codec.quantize import ResidualVQ
from recipes.common.care import replace_words, start_uniform
from recipes.common.claims import Claim, at_cost, claims_table, no_more_than
from recipes.common.command import run_command, size_name
from recipes.common.plots import band, figure, save
from recipes.common.records import Records, by_setting
from recipes.common.report import (
    interval,
    number_text,
    read_section,
    spread,
    start_readme,
    verdict,
    write_nothing_yet,
    write_section,
)
from recipes.common.runs import count_missing, run_missing


def test_finished_runs_survive_and_a_torn_line_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "study.jsonl"
    records = Records(path)
    records.add({"bits": 8, "seed": 0, "sizes": (1, 2)}, {"error": 0.5})
    records.add({"bits": 8, "seed": 1, "sizes": (1, 2)}, {"error": 0.25})
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    again = Records(path)
    assert again.find({"bits": 8, "seed": 0, "sizes": (1, 2)}) == {"error": 0.5}
    assert again.find({"bits": 8, "seed": 1, "sizes": (1, 2)}) is None
    again.add({"bits": 8, "seed": 1, "sizes": (1, 2)}, {"error": 0.25})
    assert path.read_bytes() == whole
    assert len(Records(path)) == 2


def test_a_run_counts_for_exactly_its_setting(tmp_path: Path) -> None:
    records = Records(tmp_path / "study.jsonl")
    records.add({"bits": 8, "updates": 100}, {"error": 0.5})
    assert records.find({"bits": 8, "updates": 200}) is None
    assert records.find({"bits": 8}) is None


def test_damage_inside_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    path.write_text('{"setting": {}, "result": {}}\n{"setting\n', encoding="utf-8")
    with pytest.raises(CodecError, match="line 2"):
        Records(path)


def test_results_that_are_shown_stay_where_their_runs_are_gone(tmp_path: Path) -> None:
    readme = start_readme(tmp_path)
    write_nothing_yet(readme)
    assert "No run" in read_section(readme, "results")
    write_section(readme, "results", "a table")
    write_nothing_yet(readme)
    assert read_section(readme, "results") == "a table"


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n<!-- results -->\nold\n<!-- /results -->\nend\n", encoding="utf-8")
    for text in ("| new |", "| newer |"):
        write_section(readme, "results", text)
        expected = f"# Title\n<!-- results -->\n{text}\n<!-- /results -->\nend\n"
        assert readme.read_text(encoding="utf-8") == expected
    with pytest.raises(CodecError, match="other"):
        write_section(readme, "other", "text")


def test_intervals_are_students() -> None:
    # Three values: t(2, 0.975) = 4.3027, standard deviation 1, root of 3.
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert spread([1.0, 2.0, 3.0]) == "2.00 ± 2.48"
    assert spread([1.25]) == "1.25"
    assert spread([]) == "-"


def test_numbers_of_runs_are_one_number_or_a_range() -> None:
    assert [number_text(counts) for counts in ([3, 3], [1, 3, 2], [])] == ["3", "1 to 3", "0"]


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 1.1, 0.9], "holds"),
        ([-1.0, -1.1, -0.9], "does not hold"),
        ([1.0, -1.0, 0.5], "not decided"),
        ([1.0], "not decided"),
        ([], "not run"),
        ([0.0, 0.0], "equal"),
    ],
)
def test_verdicts_need_an_interval_on_one_side_of_zero(differences: list[float], expected: str) -> None:
    assert verdict(differences) == expected


@pytest.mark.parametrize("estimator", ["nsvq", "ema"])
def test_replaced_words_lose_their_moments(estimator: str) -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(dim=4, num_codebooks=1, codebook_size=8, estimator=estimator)
    start_uniform(quantizer, 5.0, 6.0, seed=1)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.1)
    for _ in range(5):
        x = torch.randn(64, 4)
        found = quantizer(x)
        optimizer.zero_grad()
        ((found.z_q - x.requires_grad_()).square().mean() + found.loss).backward()
        optimizer.step()
    dead = quantizer.usage.counts[0] < 0.05 * quantizer.usage.counts[0].float().mean()
    assert dead.any()
    before = quantizer.words.detach().clone()
    assert replace_words(quantizer, optimizer, threshold=0.05, rows_per_word=1) == int(dead.sum())
    assert not torch.equal(quantizer.words[0, dead], before[0, dead])
    if estimator == "nsvq":
        assert (optimizer.state[quantizer.words]["exp_avg"][0, dead] == 0).all()
        assert (optimizer.state[quantizer.words]["exp_avg"][0, ~dead] != 0).any()


def test_a_command_line_ends_with_a_sentence_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def study(quick: bool = False, full: bool = False) -> None:
        size_name(quick, full)

    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--full"])
    with pytest.raises(SystemExit) as end:
        run_command(study)
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: --quick and --full exclude each other\n"


def test_a_table_of_claims_says_what_holds_where() -> None:
    rising = Claim("a above b", {8: [1.0, 1.1, 0.9], 12: [-1.0, -1.1, -0.9], 16: [1.0], 20: []})
    found = claims_table("bits", (8, 12, 16, 20), [rising, Claim("c above d", {8: []})], digits=1)
    where = "holds at 8; does not hold at 12; not decided at 16"
    assert found.splitlines()[2:] == [f"| a above b | 1.0 ± 0.2 | -1.0 ± 0.2 | 1.0 | - | {where} |"]
    alike = Claim("a above b", {8: [1.0, 1.1, 0.9], 12: [2.0, 2.1, 1.9]})
    assert claims_table("bits", (8, 12), [alike], digits=1).endswith("| holds |")


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([-0.1, 0.0, 0.1], "holds"),
        ([-3.0, -3.1, -2.9], "does not hold"),
        ([-1.0, 1.0, 0.5], "not decided"),
        ([0.1], "not decided"),
        ([], "not run"),
    ],
)
def test_closeness_needs_the_whole_interval(differences: list[float], expected: str) -> None:
    assert no_more_than(1.0)(differences) == expected


def test_values_at_a_cost_lie_between_points_over_its_logarithm() -> None:
    points = {1.0: 0.0, 100.0: 2.0, 1000.0: 5.0}
    assert at_cost(points, 10.0) == pytest.approx(1.0)
    assert at_cost(points, 1000.0) == 5.0
    assert at_cost(points, 0.99) is None
    assert at_cost(points, 1001.0) is None
    assert at_cost({}, 1.0) is None


@dataclasses.dataclass(frozen=True)
class Setting:
    """One run of a study that squares numbers."""

    number: int
    seed: int


def test_runs_that_are_there_are_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    todo = [Setting(number, seed) for number in (2, 3) for seed in (0, 1)]
    path, done = tmp_path / "study.jsonl", []

    def run(setting: Setting) -> dict[str, int]:
        done.append(setting)
        return {"square": setting.number**2}

    run_missing(Records(path), todo[:3], {"size": 5}, run)
    results = by_setting(Records(path), Setting, {"size": 5})
    assert count_missing(results, todo) == 1
    run_missing(Records(path), todo, {"size": 5}, run)
    assert done == todo
    assert by_setting(Records(path), Setting, {"size": 5})[Setting(3, 0)] == {
        seed: {"square": 9} for seed in (0, 1)
    }
    assert count_missing(by_setting(Records(path), Setting, {"size": 6}), todo) == 4
    assert capsys.readouterr().err.count("Setting(number=3, seed=1) in 0 s") == 1


def test_a_position_with_several_seeds_has_its_span_also_by_itself(tmp_path: Path) -> None:
    plot, axes = figure(columns=1)
    axis = axes[0][0]
    band(axis, [1, 2, 3, 4, 5], [[1.0], [2.0, 4.0], [3.0], [4.0, 5.0], [5.0, 6.0]], "one")
    area, bars = axis.collections
    (segment,) = bars.get_segments()
    assert segment[:, 0].tolist() == [2.0, 2.0]
    assert segment[:, 1].tolist() == pytest.approx([2.05, 3.95])
    # By itself a position has an area without width, which nobody sees.
    assert {float(point[0]) for path in area.get_paths() for point in path.vertices} == {2.0, 4.0, 5.0}
    save(plot, tmp_path / "plot.png")
