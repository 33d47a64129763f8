"""What the tool says of a recipe and of a released model, and what it refuses."""

from __future__ import annotations

from pathlib import Path

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
