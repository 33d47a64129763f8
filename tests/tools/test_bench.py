"""The benchmarks run and print what they promise; figures taken beside other tests are not judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools.conftest import call_tool, run_tool

LAYOUT = """
model:
  name: tiny_seanet
  sample_rate: 24000
  hop: 320
  dim: 8
  network: {kind: seanet, filters: 2, lstm_layers: 0}
  bottleneck: {num_codebooks: 2, codebook_size: 16}
"""


def test_speed_is_printed_for_files_steps_and_the_other_layout(
    checkpoint: Path, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "layout.yaml").write_text(LAYOUT, encoding="utf-8")
    sizes = ["--clips", clips, "--seconds", "3", "--layout", tmp_path / "layout.yaml"]
    result = call_tool("bench_speed.py", "--model", checkpoint, *sizes, "--rates", "cbr:3,abr:2,two:2,vbr:5")
    assert result.exit_code == 0, result.stderr
    for rate in ("cbr    3", "abr    2", "two    2", "vbr    5"):
        row = re.search(rf"^{rate} ((?: +[\d.]+ +\( *[\d.]+\)){{3}})$", result.stdout, re.MULTILINE)
        assert row is not None
        speeds = [float(number) for number in re.findall(r"[\d.]+", row[1])]
        for encode, decode, both in (speeds[::2], speeds[1::2]):
            assert 1 / both == pytest.approx(1 / encode + 1 / decode, rel=0.1)
    for verb in ("encode", "decode"):
        steps = re.search(rf"{verb} a 20 ms step: p50 ([\d.]+) \(.*\) ms +p99 ([\d.]+) ", result.stdout)
        assert steps is not None
        assert 0 < float(steps[1]) <= float(steps[2])
    assert re.search(r"tiny is [\d.]+ times as fast to encode, [\d.]+ times to decode", result.stdout)


def test_a_recipe_is_timed_with_random_weights(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "layout.yaml").write_text(LAYOUT, encoding="utf-8")
    options = ["--model", tmp_path / "layout.yaml", "--layout", tmp_path / "layout.yaml"]
    rates = ["--rates", "cbr:0.6", "--bitrate", "0.6"]
    result = call_tool("bench_speed.py", *options, "--clips", clips, "--seconds", "1", *rates)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("tiny_seanet, 1 s of speech")
    result = call_tool("bench_speed.py", *options, "--clips", clips, "--rates", "cbr:6,best")
    assert result.exit_code == 2
    assert "best is no rate" in result.stderr


def test_memory_is_printed_for_a_short_and_a_long_recording(checkpoint: Path, clips: Path) -> None:
    arguments = ["--model", checkpoint, "--clips", clips, "--hours", "0.02"]
    result = run_tool("bench_memory.py", *arguments)
    assert result.exit_code == 0, result.stderr
    peaks = [float(peak) for peak in re.findall(r"peak +([\d.]+) MB", result.stdout)]
    assert len(peaks) == 2
    # An interpreter that has loaded torch is larger than this, and nothing of a minute's speech is not.
    assert all(50 < peak < 3000 for peak in peaks)
    difference = re.search(r"difference ([+-][\d.]+) MB, within the goal of 50 MB", result.stdout)
    assert difference is not None
    assert float(difference[1]) == pytest.approx(peaks[1] - peaks[0], abs=0.2)


def test_a_missing_model_is_told_in_one_sentence(clips: Path) -> None:
    result = call_tool("bench_speed.py", "--model", "no_such_model", "--clips", clips)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "no_such_model" in result.stderr
