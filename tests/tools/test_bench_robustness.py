from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from codec import DEFAULT_MODEL
from tests.tools.conftest import ROOT, call_tool, load_tool


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("bench_robustness.py")


def test_every_sound_is_in_the_table(checkpoint: Path, clips: Path) -> None:
    pytest.importorskip("scipy")
    arguments = ["--other", clips, "--model", checkpoint, "--bitrates", "1,3", "--metrics", "si_sdr"]
    result = call_tool("bench_robustness.py", clips, *arguments)
    assert result.exit_code == 0, result.stderr
    lines = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    # Two clips are too few for three speakers at once.
    assert len(lines) == 2 * (2 + 1 + 4 + 1 + 7)
    silence = next(line for line in lines if line[0] == "| silence")
    assert silence[3] == "-120.0"
    assert silence[-1] == "- |"
    square = next(line for line in lines if line[0].startswith("| square"))
    assert square[3] == "0.0"


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "speech_16k_small_2"])
def test_the_shipped_models_blow_nothing_up(model: str) -> None:
    pytest.importorskip("scipy")
    arguments = ["--model", model, "--bitrates", "1.5,6", "--metrics", "si_sdr"]
    result = call_tool("bench_robustness.py", ROOT / "tests" / "data" / "clips", *arguments)
    assert result.exit_code == 0, result.stderr
    lines = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    verdicts = [(line[0], line[-2]) for line in lines if line[1].isdecimal()]
    assert len(verdicts) == 2 * (1 + 4 + 1 + 7)
    assert [pair for pair in verdicts if pair[1] != "no"] == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (-6.0, -3.1, "no"),
        (-6.0, -2.0, "+4.0 dB"),
        (-120.0, -80.0, "no"),
        (-120.0, -60.0, "not below -70 dBFS"),
    ],
)
def test_a_limit_that_breaks_is_told(tool: ModuleType, before: float, after: float, expected: str) -> None:
    assert tool.verdict(before, after) == expected


def test_clips_that_break_a_limit_are_counted_among_all(tool: ModuleType) -> None:
    assert tool.verdict_of_all([(-6.0, -7.0), (-20.0, -18.0)]) == "no"
    assert tool.verdict_of_all([(-6.0, -7.0), (-6.0, -2.0), (-20.0, -14.5)]) == "2 of 3, +5.5 dB"


def test_the_three_speakers_are_those_with_most_to_say(tool: ModuleType) -> None:
    speech = [np.full(seconds * 16_000, 0.1, np.float32) for seconds in (1, 4, 2, 3)]
    sounds = {sound.name: sound.clips for sound in tool.gather(speech, [], 16_000)}
    assert [len(clip) for clip in sounds["three speakers at once"]] == [2 * 16_000]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--bitrates", "six"], "--bitrates takes numbers"), (["--metrics", "loudness"], "is no metric")],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], sentence: str, checkpoint: Path, clips: Path
) -> None:
    result = call_tool("bench_robustness.py", clips, "--model", checkpoint, *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
