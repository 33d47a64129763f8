"""Augmentation: levels, ratios and frequencies come out as configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.config import from_mapping
from codec.errors import CodecError
from codec.training.augment import AugmentConfig, noise_factor, random_gain, speed_and_tone
from codec.training.segments import SegmentDataset
from codec.training.store import ClipStore
from tests.training.sounds import RATE, load, tone, write

NONE = AugmentConfig(gain_db=(0.0, 0.0), noise_probability=0.0)


def _store(folder: Path, frequency: float, level: float = 0.3) -> ClipStore:
    write(folder / "a.wav", tone(frequency, 4 * RATE, level=level))
    return load(folder)


def _peak_frequency(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    return float(np.argmax(spectrum)) * RATE / len(x)


def test_gain_stays_in_its_range_and_never_clips(rng: np.random.Generator) -> None:
    quiet, loud = tone(500.0, RATE, level=0.1), tone(500.0, RATE, level=0.95)
    config = replace(NONE, gain_db=(-12.0, 6.0))
    gains = 20 * np.log10([random_gain(quiet, config, rng) for _ in range(300)])
    assert gains.min() == pytest.approx(-12.0, abs=0.5)
    assert gains.max() == pytest.approx(6.0, abs=0.5)
    limited = [random_gain(loud, config, rng) * np.abs(loud).max() for _ in range(300)]
    assert max(limited) == pytest.approx(0.99)


def test_a_segment_louder_than_full_scale_is_turned_down(tmp_path: Path) -> None:
    boost = replace(NONE, equalize_probability=1.0, equalize_db=12.0)
    dataset = SegmentDataset(_store(tmp_path, 500.0, 0.95), 8000, seed=0, augment=boost)
    peaks = [np.abs(dataset[index][0]).max() for index in range(30)]
    assert max(peaks) == pytest.approx(0.99, abs=1e-4)


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_comes_at_the_wanted_ratio(rng: np.random.Generator, snr_db: float) -> None:
    x, noise = rng.standard_normal((2, 4000)).astype(np.float32) * np.float32([[0.2], [3.0]])
    scaled = noise * noise_factor(x, noise, snr_db)
    assert 10 * np.log10(np.mean(x**2) / np.mean(scaled**2)) == pytest.approx(snr_db, abs=0.01)
    assert noise_factor(np.zeros_like(x), noise, snr_db) == 0.0
    assert noise_factor(x, np.zeros_like(x), snr_db) == 0.0


def test_the_target_holds_the_noise_unless_it_is_to_be_removed(tmp_path: Path) -> None:
    store, noise = _store(tmp_path / "tone", 500.0), _store(tmp_path / "noise", 3000.0)
    config = replace(NONE, noise_probability=1.0, noise_snr_db=(10.0, 10.0))
    heard, target = SegmentDataset(store, 8000, 0, config, noise)[0]
    assert np.array_equal(heard, target)
    denoise = replace(config, noise_in_target=False)
    heard, target = SegmentDataset(store, 8000, 0, denoise, noise)[0]
    ratio = 10 * np.log10(np.mean(target**2) / np.mean((heard - target) ** 2))
    assert ratio == pytest.approx(10.0, abs=0.05)
    assert _peak_frequency(heard - target) == pytest.approx(3000.0, abs=3.0)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_speed_moves_the_pitch(tmp_path: Path, factor: float) -> None:
    config = replace(NONE, speed_probability=1.0, speed=(factor, factor))
    segment, _ = SegmentDataset(_store(tmp_path, 1000.0), 8000, seed=0, augment=config)[0]
    assert _peak_frequency(segment) == pytest.approx(1000.0 * factor, rel=0.004)
    assert np.abs(segment).max() == pytest.approx(0.3, rel=0.02)
    assert np.abs(segment[:100]).max() > 0.25, "the faded margin must not reach the segment"


def test_the_identity_passes_through_the_fourier_domain() -> None:
    x = tone(440.0, 8192)
    flat = speed_and_tone(x, 8192, np.zeros(9))
    assert np.abs(flat - x)[128:-128].max() < 1e-5
    louder = speed_and_tone(x, 8192, np.full(9, 6.0))
    assert np.abs(louder[128:-128]).max() == pytest.approx(0.3 * 10**0.3, rel=1e-3)


def test_resampling_is_clean_beside_the_margin() -> None:
    x, expected = tone(997.3, 9024), tone(997.3 * 9024 / 8192, 8192)
    error = np.abs(speed_and_tone(x, 8192, None) - expected)[256:-256]
    assert error.max() < 1e-6  # the jump at the ends, unfaded, rings with 4e-5


def test_a_response_is_followed_at_its_points() -> None:
    response = np.zeros(9)
    response[2] = -20.0  # at 2 kHz of 16 kHz
    for frequency, level in ((2000.0, 0.03), (4000.0, 0.3)):
        shaped = speed_and_tone(tone(frequency, 8192), 8192, response)
        assert np.abs(shaped[1000:-1000]).max() == pytest.approx(level, rel=0.05)


def test_clipped_segments_are_flat_at_a_share_of_their_peak(tmp_path: Path) -> None:
    config = replace(NONE, clip_probability=0.5, clip_share=(0.4, 0.4))
    dataset = SegmentDataset(_store(tmp_path, 500.0, 0.5), 2000, seed=0, augment=config)
    segments = [dataset[index] for index in range(200)]
    assert all(np.array_equal(heard, target) for heard, target in segments)
    peaks = np.array([np.abs(heard).max() for heard, _ in segments])
    clipped = peaks < 0.3
    assert clipped.sum() == pytest.approx(100, abs=30)
    np.testing.assert_allclose(peaks[clipped], 0.2, rtol=1e-3)
    np.testing.assert_allclose(peaks[~clipped], 0.5, rtol=1e-3)


def test_probabilities_are_kept(tmp_path: Path) -> None:
    config = replace(NONE, speed_probability=0.3, speed=(1.1, 1.1))
    dataset = SegmentDataset(_store(tmp_path, 1000.0), 2000, seed=0, augment=config)
    moved = sum(abs(_peak_frequency(dataset[index][0]) - 1000.0) > 50 for index in range(300))
    assert moved == pytest.approx(90, abs=30)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("noise_probability", 1.5),
        ("gain_db", [6.0, -12.0]),
        ("speed", [0.0, 1.0]),
        ("equalize_db", -1.0),
        ("noise_snr_db", [0.0, float("inf")]),
        ("clip_share", [0.0, 0.5]),
        ("clip_probability", -0.1),
    ],
)
def test_wrong_settings_are_named(key: str, value: object) -> None:
    with pytest.raises(CodecError, match=key):
        from_mapping(AugmentConfig, {key: value}, "config.yaml")
