"""What the tool says of a recipe and of a released model, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools.conftest import ROOT, call_tool


def described(path: Path) -> dict[str, str]:
    outcome = call_tool("describe_model.py", path)
    assert outcome.exit_code == 0, outcome.stderr
    return {line[:12].strip(): line[12:] for line in outcome.stdout.splitlines()}


def test_a_recipe_is_described() -> None:
    lines = described(ROOT / "recipes" / "encodec_24k" / "config.yaml")
    assert lines["model"] == "encodec_24k, seanet, 24000 Hz"
    assert lines["encoder"] == lines["decoder"] == "7.42 M parameters"
    assert lines["codebooks"] == "4.19 M parameters: 32 x 1024"
    assert lines["frame rate"] == "75 frames/s of 128 numbers"
    assert lines["latency"] == "13.3 ms: 320 samples a hop + 0 of delay"
    assert lines["bitrate"] == "0.75 kbit/s a codebook, 24 kbit/s in all"


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_arithmetic_is_that_of_the_layers() -> None:
    lines = described(ROOT / "recipes" / "smoke" / "config.yaml")
    block = 2 * 2 * 96 * 96 + 7 * 96
    encoder = 640 * 320 + 640 * 96 + 3 * block + 96 * 32 + 320 * 32
    decoder = 32 * 96 + 3 * block + 2 * 96 * 320 + 32 * 320 + 320 * 640
    search = 6 * 64 * 32
    expected = [round(2 * 50 * count / 1e6) for count in (encoder, decoder, search)]
    assert numbers(lines["arithmetic"]) == expected


def test_a_beam_searches_with_each_of_its_sums() -> None:
    lines = described(ROOT / "recipes" / "speech_16k" / "config.yaml")
    search = (1 + 19 * 4) * 1024 * 128
    assert numbers(lines["arithmetic"])[2] == round(2 * 50 * search / 1e6)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("recipes/speech_16k/small.yaml", "speech_16k_small"),
        ("checkpoints/speech_16k_small_2", "speech_16k_small_2"),
    ],
)
def test_the_small_speech_model_keeps_its_limits(path: str, name: str) -> None:
    lines = described(ROOT / path)
    assert lines["model"] == f"{name}, spectral, 16000 Hz"
    assert numbers(lines["encoder"])[0] + numbers(lines["decoder"])[0] <= 2.0
    assert numbers(lines["frame rate"]) == [50.0, 32.0]
    encoder, decoder, search = numbers(lines["arithmetic"])
    assert encoder + search <= 300
    assert decoder <= 300


def test_a_released_model_is_described(checkpoint: Path) -> None:
    lines = described(checkpoint)
    assert lines["model"] == "tiny, spectral, 16000 Hz"
    assert lines["latency"] == "40.0 ms: 320 samples a hop + 320 of delay"
    assert lines["bitrate"] == "0.5 kbit/s a codebook, 6 kbit/s in all"


def test_the_size_of_the_soundstream_layout_is_told() -> None:
    lines = described(ROOT / "recipes" / "soundstream_24k" / "config.yaml")
    assert (lines["encoder"], lines["decoder"]) == ("4.79 M parameters", "5.05 M parameters")


def test_what_is_no_model_is_refused_with_a_sentence(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("model: {name: x, network: {kind: seanet, stride: 3}}\n")
    for path, message in ((tmp_path, "config.yaml"), (tmp_path / "no.yaml", "no.yaml"), (wrong, "'stride'")):
        outcome = call_tool("describe_model.py", path)
        assert outcome.exit_code == 1
        assert message in outcome.stderr
        assert outcome.stderr.count("\n") == 1
