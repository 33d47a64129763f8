"""`codec.torchaudio_cpu`: transforms, functional and dataset classes work beside a CPU torch."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")
import torch

from codec.torchaudio_cpu import torchaudio


def test_resampling_halves_the_samples() -> None:
    functional = torchaudio().functional
    out = functional.resample(torch.sin(torch.arange(1600) * 0.05)[None], 16000, 8000)
    assert out.shape == (1, 800)
    assert torch.isfinite(out).all()


def test_mel_transform_finds_the_tone() -> None:
    mel = torchaudio().transforms.MelSpectrogram(sample_rate=16000, n_fft=512, hop_length=160, n_mels=40)
    time = torch.arange(16000) / 16000
    bands = [int(mel(torch.sin(2 * torch.pi * f * time)).mean(-1).argmax()) for f in (200.0, 1000.0, 5000.0)]
    assert bands == sorted(set(bands))


def test_filters_take_the_python_path() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32))
    low = torchaudio().functional.lowpass_biquad(noise, 16000, 500.0)
    assert low.square().mean() < 0.3 * noise.square().mean()


def test_librispeech_lists_the_utterances_of_a_folder(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech" / "dev-clean" / "84" / "121123"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "84-121123-0000.flac", np.zeros(1600, dtype=np.float32), 16000)
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 NOTHING IS SAID\n")
    dataset = torchaudio().datasets.LIBRISPEECH(tmp_path, url="dev-clean", download=False)
    path, rate, words, speaker, *_ = dataset.get_metadata(0)
    assert len(dataset) == 1
    assert (rate, words, speaker) == (16000, "NOTHING IS SAID", 84)
    assert soundfile.info(tmp_path / "LibriSpeech" / path).frames == 1600


def test_failing_extension_is_stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown here even where the plain import works."""
    torchaudio()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    real = torch.ops.load_library

    def broken(path: object) -> None:
        if "torchaudio" in str(path):
            raise OSError(f"Could not load this library: {path}")
        real(path)

    monkeypatch.setattr(torch.ops, "load_library", broken)
    module = torchaudio()
    assert module.transforms.Resample(8000, 16000)(torch.zeros(1, 80)).shape == (1, 160)
    with pytest.raises(RuntimeError, match="compiled extension"):
        importlib.import_module("torchaudio.functional").forced_align(None, None)
