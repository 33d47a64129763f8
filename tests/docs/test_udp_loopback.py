"""The UDP example runs: sound comes through a lossy, jittery loopback at its length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.checkpoint import save_model
from tests.small_model import small_model

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "udp_loopback.py"
RATE, SECONDS = 16_000, 1.5


@pytest.mark.parametrize(("loss", "lossless"), [("0", True), ("20%", False)])
def test_sound_comes_through(tmp_path: Path, loss: str, lossless: bool) -> None:
    save_model(small_model(), tmp_path / "model")
    audio = 0.1 * np.random.default_rng(0).standard_normal(round(SECONDS * RATE))
    soundfile.write(tmp_path / "in.wav", audio, RATE)
    arguments = ["--model", tmp_path / "model", "--loss", loss, "--jitter", "30", "--buffer", "300"]
    command = [sys.executable, EXAMPLE, tmp_path / "in.wav", tmp_path / "out.wav", *arguments]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    heard, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == RATE
    assert len(heard) > 0.5 * len(audio)
    if lossless:
        assert "0 packets were lost, 0.00 of 1.50 s" in result.stdout
        assert len(audio) <= len(heard) < len(audio) + 640
    else:
        assert " 0.00 of" not in result.stdout
