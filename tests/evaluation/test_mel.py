from __future__ import annotations

import numpy as np
import pytest

from codec.evaluation.mel import mel_magnitude
from codec.evaluation.spectrogram import draw_png, frequency_ticks, log_mel

librosa = pytest.importorskip("librosa")


def test_it_agrees_with_librosa(rng: np.random.Generator) -> None:
    audio = rng.standard_normal(16_000).astype(np.float32)
    ours = mel_magnitude(audio, 16_000, 1024, 256, 80)
    theirs = librosa.feature.melspectrogram(
        y=audio, sr=16_000, n_fft=1024, hop_length=256, n_mels=80, power=1.0, pad_mode="constant"
    ) / (1024 / 4)
    frames = min(ours.shape[1], theirs.shape[1])
    assert frames >= 62
    np.testing.assert_allclose(ours[:, :frames], theirs[:, :frames], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 100, 1024, 5000])
def test_any_length_gives_finite_values(samples: int) -> None:
    magnitude = mel_magnitude(np.ones(samples), 16_000, 1024, 256, 80)
    assert magnitude.shape[0] == 80
    assert magnitude.shape[1] >= 1
    assert np.isfinite(magnitude).all()


@pytest.mark.parametrize(("label", "index"), [("1k", 0), ("2k", 1), ("4k", 2)])
def test_a_tick_stands_at_its_frequency_in_the_picture(label: str, index: int) -> None:
    name, height = frequency_ticks(16_000)[index]
    assert name == label
    tone = 0.5 * np.sin(2 * np.pi * 1000.0 * int(label[0]) * np.arange(16_000) / 16_000)
    loudest = int(np.argmax(log_mel(tone, 16_000).mean(axis=1)))
    assert height * 128 == pytest.approx(loudest + 0.5, abs=1.5)


def test_a_picture_has_a_pixel_for_each_value_and_low_bands_below() -> None:
    image = pytest.importorskip("PIL.Image")
    import io

    decibels = np.full((128, 50), -100.0, np.float32)
    decibels[:10] = 0.0
    with image.open(io.BytesIO(draw_png(decibels, peak_db=0.0))) as picture:
        assert picture.size == (50, 128)
        pixels = np.asarray(picture.convert("L"))
    assert pixels[-10:].min() > 200
    assert pixels[:-10].max() < 20
