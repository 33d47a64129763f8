"""Models with entropy tables, from the command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.api import Codec
from codec.bitstream import EntropyCoder
from codec.checkpoint import save_model
from codec.training.entropy import fit_tables
from tests.cli.conftest import Run
from tests.small_model import SMALL, small_model


def tone(seconds: float, pitch: float = 220.0) -> np.ndarray:
    time = np.arange(round(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * (pitch + 5 * np.sin(time)) * time)).astype(np.float32)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tables know tones, so that a tone takes fewer bits than its indices."""
    folder = tmp_path_factory.mktemp("tight") / "tight"
    model = small_model(0, replace(SMALL, name="tight"))
    codes = [Codec(model).tokens(tone(10, pitch), 16000) for pitch in (200.0, 240.0)]
    model.entropy = EntropyCoder(fit_tables(model.bottleneck, codes))
    save_model(model, folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "tone.wav", tone(12.0), 16000)
    return tmp_path / "tone.wav"


@pytest.mark.parametrize(
    "mode", [["-b", 0.6], ["--mode", "abr", "-b", 0.5], ["--mode", "vbr"], ["--mode", "abr", "--two-pass"]]
)
def test_payloads_take_less_than_their_indices(
    run: Run, tight: Path, source: Path, mode: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(tight.parent))
    assert run("encode", source, "a.nac", "--model", "tight", *mode).code == 0
    report = json.loads(run("info", "a.nac", "--json").stdout)
    assert report["payload_bits"] < 0.95 * report["raw_index_bits"]
    assert run("decode", "a.nac", "a.wav", "--strict").code == 0
    assert soundfile.info("a.wav").frames == 12 * 16000
    # The first codebook alone.
    result = run("transcode", "a.nac", "b.nac", "--codebooks", 1, "--json")
    assert (result.code, result.stderr) == (0, "")
    low = json.loads(run("info", "b.nac", "--json").stdout)
    assert low["codebooks_per_frame"]["max"] == 1
    assert low["payload_bits"] < report["payload_bits"]
    assert run("decode", "b.nac", "b.wav", "--strict").code == 0
    # Without the model, what varies cannot be counted, and all else is told.
    monkeypatch.setenv("CODEC_CHECKPOINTS", "nowhere")
    blind = json.loads(run("info", "a.nac", "--json").stdout)
    known = {"codebooks_per_frame", "raw_index_bits", "latency_ms"}
    assert {key: blind[key] for key in blind.keys() - known} == {
        key: report[key] for key in report.keys() - known
    }
    varies = report["codebooks_per_frame"]["min"] < report["codebooks_per_frame"]["max"]
    assert varies == (mode[-1] == 0.5)
    assert blind["raw_index_bits"] == (None if varies else report["raw_index_bits"])
    assert blind["codebooks_per_frame"] == (None if varies else report["codebooks_per_frame"])


def test_a_model_without_its_tables_is_another_model(
    run: Run, tight: Path, source: Path, tmp_path: Path
) -> None:
    assert run("encode", source, "a.nac", "--model", tight).code == 0
    shutil.copytree(tight, tmp_path / "bare")
    (tmp_path / "bare" / "entropy.safetensors").unlink()
    result = run("decode", "a.nac", "a.wav", "--model", tmp_path / "bare")
    assert result.code == 1
    assert "give the right checkpoint" in result.error
