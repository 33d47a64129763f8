"""The speech study: its command line, what it takes up again, its report."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from codec.errors import CodecError, UsageError
from codec.quantize import ResidualVQ
from codec.training.validation import load_clips
from recipes.common.records import Records
from recipes.speech_envelope.coder import SAMPLE_RATE
from recipes.speech_envelope.neural import read_neural
from recipes.speech_envelope.offsets import clip_means, shared_offsets
from recipes.speech_envelope.results import Published, read_published
from recipes.speech_envelope.run import HERE, SMOKE_CLIPS, finished_runs, key_of, main
from recipes.speech_envelope.study import (
    METHODS,
    USUAL,
    Condition,
    Run,
    Setting,
    Start,
    read_study,
    side_runs,
    study_runs,
)
from recipes.speech_envelope.train import start_words, train, training_lines


def test_the_quick_study_goes_on_where_it_stopped_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package, extra in (("pesq", "pesq"), ("pystoi", "eval"), ("matplotlib", "recipes")):
        pytest.importorskip(package, reason=f"of the extra {extra}")
    main(quick=True, conditions=True, runs=tmp_path, neural=tmp_path / "none")
    runs = tmp_path / "quick.jsonl"
    whole = runs.read_text()
    # The last run is gone, as after an interrupt in the midst of writing it.
    runs.write_text(whole[:-30])
    capsys.readouterr()
    main(quick=True, conditions=True, runs=tmp_path, neural=tmp_path / "none")
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
    assert re.search(r"^\| PESQ-WB: mean of the methods \| -?\d", text, re.MULTILINE)
    assert re.search(r"^\| STE, 12 bit: standard normal words, no replacement \| 2 \|", text, re.MULTILINE)
    for line in runs.read_text().splitlines():
        for bitrate, measured in json.loads(line)["result"]["measured"].items():
            assert measured["kbps"] == pytest.approx(int(bitrate) / 1000, rel=0.02)


def test_a_report_without_runs_says_so(tmp_path: Path) -> None:
    main(quick=True, report=True, runs=tmp_path, neural=tmp_path)
    assert "No run of this size is finished yet." in (tmp_path / "README.md").read_text()


def test_runs_on_other_sound_do_not_count(tmp_path: Path) -> None:
    study = read_study(HERE / "config.yaml")
    records = Records(tmp_path / "full.jsonl")
    for seed, sound in enumerate(("some", "other", "other")):
        records.add(key_of(Run(Setting("ste", seed)), study, study.full, sound), {"measured": {}})
    finished = finished_runs(records, study, study.full)
    assert finished.sound == "other"
    assert [sorted(seeds) for seeds in finished.study.values()] == [[1, 2]]


def test_runs_under_other_conditions_are_kept_apart_even_at_the_same_bitrates(tmp_path: Path) -> None:
    study = read_study(HERE / "config.yaml")
    size = study.full
    size = dataclasses.replace(size, side=dataclasses.replace(size.side, bitrates=size.bitrates))
    records = Records(tmp_path / "full.jsonl")
    other = size.side.conditions[0]
    for number, run in enumerate((Run(Setting("ste", 0)), Run(Setting("ste", 0), other))):
        records.add(key_of(run, study, size, "sound"), {"number": number})
    finished = finished_runs(records, study, size)
    assert finished.study == {Setting("ste", 0): {0: {"number": 0}}}
    assert finished.side[other] == {Setting("ste", 0): {0: {"number": 1}}}
    assert not any(finished.side[condition] for condition in size.side.conditions[1:])


def test_every_method_comes_before_a_second_seed() -> None:
    size = read_study(HERE / "config.yaml").full
    found = [run.setting for run in study_runs(size)]
    assert [setting.method for setting in found[: len(METHODS)]] == list(METHODS)
    assert len(set(found)) == len(found) == 5 * len(METHODS)
    side = side_runs(size)
    assert len(set(side)) == len(side) == 5 * len(size.side.conditions) * len(size.side.methods)
    assert not any(run.condition == USUAL for run in side)


def test_a_start_gives_words_where_its_name_says(rng: np.random.Generator) -> None:
    levels = torch.from_numpy(rng.normal(-10.0, 1.0, (200, 16))).float()
    words = {}
    for start in get_args(Start):
        torch.manual_seed(0)
        quantizer = ResidualVQ(16, 1, 8)
        start_words(quantizer, start, levels, seed=0)
        words[start] = quantizer.words.detach()[0]
    assert all((levels == word).all(dim=1).any() for word in words["drawn"])
    errors = {
        start: float(torch.cdist(levels, each).min(dim=1).values.mean()) for start, each in words.items()
    }
    assert errors["kmeans"] < errors["drawn"] < 0.2 * errors["normal"]


def test_without_replacement_no_word_is_replaced() -> None:
    study = read_study(HERE / "config.yaml")
    # Words are judged by the counts of several intervals together.
    training = dataclasses.replace(study.quick.training, replace_every=4)
    lines = training_lines(load_clips([SMOKE_CLIPS], SAMPLE_RATE), training.frames)
    replaced = {}
    for replacement in (True, False):
        run = Run(Setting("ste", 0), Condition("normal", replacement))
        _, facts = train(run, study, training, lines)
        replaced[replacement] = facts["replaced"]
    assert replaced[True] > 0
    assert replaced[False] == 0


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


def test_what_all_methods_share_is_told_apart_from_what_one_has_alone() -> None:
    size = dataclasses.replace(read_study(HERE / "config.yaml").full, bitrates=(8000,))
    clips = {"nsvq": [1.0, 2.0, 3.0], "ste": [1.2, 2.2, 3.2]}
    results = {
        Setting(method, 0): {0: {"measured": {"8000": {"pesq_wb": values, "psnr": values}}}}
        for method, values in clips.items()
    }
    published = Published((8000,), {"pesq_wb": {"nsvq": [1.9], "ste": [1.9]}})
    # Of three clips one apart, Student's interval of the mean is 4.303 / sqrt(3).
    assert "| PESQ-WB: NSVQ, 12 bit | 2.00 ± 2.48 |" in clip_means(size, results)
    text = shared_offsets(size, results, published)
    assert "| PESQ-WB: mean of the methods | 0.200 ± 2.484 |" in text
    assert "| PESQ-WB: NSVQ, 12 bit, beyond that | -0.100 ± 0.000 |" in text
    assert "| PESQ-WB: STE, 12 bit, beyond that | 0.100 ± 0.000 |" in text
    # Distances of 0.1 and 0.3, of which 0.2 is shared.
    assert "make up 80% of the 2 squared distances" in text
    assert "pSNR" not in text
