"""The speech study: its command line, what it takes up again, its report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codec.errors import CodecError, UsageError
from recipes.common.records import Records
from recipes.speech_envelope.neural import read_neural
from recipes.speech_envelope.results import read_published
from recipes.speech_envelope.run import HERE, finished_runs, main, shared_setting
from recipes.speech_envelope.study import METHODS, read_study, settings


def test_the_quick_study_goes_on_where_it_stopped_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package, extra in (("pesq", "pesq"), ("pystoi", "eval"), ("matplotlib", "recipes")):
        pytest.importorskip(package, reason=f"of the extra {extra}")
    main(quick=True, runs=tmp_path, neural=tmp_path / "none")
    runs = tmp_path / "quick.jsonl"
    whole = runs.read_text()
    # The last run is gone, as after an interrupt in the midst of writing it.
    runs.write_text(whole[:-30])
    capsys.readouterr()
    main(quick=True, runs=tmp_path, neural=tmp_path / "none")
    assert capsys.readouterr().err.count("Setting(") == 1

    def without_times(text: str) -> list[str]:
        return [re.sub(r'"train_seconds": [\d.]+', "", line) for line in text.splitlines()]

    assert without_times(runs.read_text()) == without_times(whole)
    assert (tmp_path / "quality.png").stat().st_size > 10_000
    assert (tmp_path / "both.png").stat().st_size > 10_000
    text = (tmp_path / "README.md").read_text()
    assert re.search(r"^\| additive, 16 bit \| \d+\.\d+ ± \d+\.\d+ \|", text, re.MULTILINE)
    published = read_published(HERE / "published.json").tables["pesq_wb"]["additive"]
    assert f"| *additive, 16 bit, published* | {published[0]:.2f} | {published[-1]:.2f} |" in text
    assert "Not measured yet: residual, nsvq; residual, ste" in text
    for line in runs.read_text().splitlines():
        for bitrate, measured in json.loads(line)["result"]["measured"].items():
            assert measured["kbps"] == pytest.approx(int(bitrate) / 1000, rel=0.02)


def test_a_report_without_runs_says_that_the_figures_are_missing(tmp_path: Path) -> None:
    main(quick=True, report=True, runs=tmp_path, neural=tmp_path)
    assert "its figures are missing" in (tmp_path / "README.md").read_text()


def test_runs_on_other_sound_do_not_count(tmp_path: Path) -> None:
    study = read_study(HERE / "config.yaml")
    records = Records(tmp_path / "full.jsonl")
    for seed, sound in enumerate(("some", "other", "other")):
        key = {"method": "ste", "seed": seed, **shared_setting(study, study.full), "sound": sound}
        records.add(key, {"measured": {}})
    sound, results = finished_runs(records, study, study.full)
    assert sound == "other"
    assert [sorted(seeds) for seeds in results.values()] == [[1, 2]]


def test_every_method_comes_before_a_second_seed() -> None:
    found = settings(read_study(HERE / "config.yaml").full)
    assert [setting.method for setting in found[: len(METHODS)]] == list(METHODS)
    assert len(set(found)) == len(found) == 5 * len(METHODS)


def test_without_sound_the_full_study_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data and --valid"):
        main(runs=tmp_path)


def test_neural_results_are_read_as_far_as_they_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "residual_nsvq"
    folder.mkdir()
    rows = [{"kbps": 6.4, "pesq_wb": 1.8}, {"kbps": 1.6, "pesq_wb": 1.2}]
    (folder / "result.json").write_text(json.dumps(rows))
    neural = read_neural(tmp_path)
    assert [point.kbps for point in neural.found["residual, nsvq"]] == [1.6, 6.4]
    assert "additive, nsvq" in neural.missing
    (folder / "result.json").write_text("{")
    with pytest.raises(CodecError, match="damaged"):
        read_neural(tmp_path)


def test_published_figures_must_fit_their_bitrates(tmp_path: Path) -> None:
    path = tmp_path / "published.json"
    path.write_text(json.dumps({"bitrates": [8000, 9600], "psnr": {"ste": [5.0]}}))
    with pytest.raises(CodecError, match="2 bitrates"):
        read_published(path)
