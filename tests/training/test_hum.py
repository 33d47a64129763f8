"""Hum of the mains: its frequencies, how loud it is, and what of it a training hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.config import from_mapping
from codec.errors import CodecError
from codec.training.augment import AugmentConfig
from codec.training.device_segments import DeviceSegments
from codec.training.hum import DRAWS, HARMONICS, mains_hum
from codec.training.segments import SegmentDataset
from codec.training.store import ClipStore
from tests.training.sounds import RATE, load, tone, write

PLAIN = AugmentConfig(gain_db=(0.0, 0.0), noise_probability=0.0)
HUM = replace(PLAIN, hum_probability=1.0, hum_ratio_db=(6.0, 6.0))
VOICE_HERTZ = 1000


@pytest.fixture
def voices(tmp_path: Path) -> ClipStore:
    """Four seconds of a tone far above the mains, so that the hum is told from it."""
    write(tmp_path / "a.wav", tone(VOICE_HERTZ, 4 * RATE, level=0.1))
    return load(tmp_path)


def _spectrum(x: np.ndarray) -> np.ndarray:
    """Amplitudes at whole Hz of a second of sound."""
    return np.abs(np.fft.rfft(x)) * 2 / len(x)


def _above_hum_db(segment: np.ndarray) -> float:
    """Energy of the tone above that of everything else, in dB."""
    energy = np.square(_spectrum(segment))
    voice = energy[VOICE_HERTZ - 5 : VOICE_HERTZ + 6].sum()
    return float(10 * np.log10(voice / (energy.sum() - voice)))


def _has_hum(segment: np.ndarray) -> bool:
    return bool(_spectrum(segment)[: 10 * 60].max() > 1e-3)


def test_hum_has_the_mains_and_its_harmonics_and_nothing_else() -> None:
    draws = torch.rand(8, DRAWS, generator=torch.Generator().manual_seed(0))
    draws[:4, 0], draws[4:, 0] = 0.2, 0.7
    hum = mains_hum(draws, RATE, RATE).numpy()
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(hum), axis=1)), 1.0, rtol=1e-4)
    for row, segment in enumerate(hum):
        mains = 50 if row < 4 else 60
        spectrum = _spectrum(segment)
        harmonics = mains * np.arange(1, HARMONICS + 1)
        wanted = draws[row, 1 : 1 + HARMONICS].numpy() / np.arange(1, HARMONICS + 1)
        np.testing.assert_allclose(
            spectrum[harmonics] / spectrum[harmonics].sum(), wanted / wanted.sum(), atol=1e-3
        )
        assert np.delete(spectrum, harmonics).max() < 1e-3


def test_hum_without_any_harmonic_is_silence() -> None:
    assert not mains_hum(torch.zeros(1, DRAWS), 800, RATE).any()


def test_segments_and_targets_hold_the_hum_at_its_level(voices: ClipStore) -> None:
    heard, target = SegmentDataset(voices, RATE, 0, HUM)[0]
    assert np.array_equal(heard, target)
    assert _above_hum_db(heard) == pytest.approx(6.0, abs=0.1)
    above = replace(HUM, hum_ratio_db=(-10.0, -10.0))
    batch = DeviceSegments(voices, RATE, 0, above, None, torch.device("cpu")).batch(0, 4)
    assert torch.equal(batch.input, batch.target)
    for segment in batch.input.numpy():
        assert _above_hum_db(segment) == pytest.approx(-10.0, abs=0.1)


def test_targets_are_without_hum_where_it_is_to_be_removed(voices: ClipStore) -> None:
    heard, target = SegmentDataset(voices, RATE, 0, replace(HUM, noise_in_target=False))[0]
    assert _has_hum(heard)
    assert not _has_hum(target)


def test_as_many_segments_as_said_have_hum(voices: ClipStore) -> None:
    some = replace(HUM, hum_probability=0.3)
    one_by_one = np.stack([SegmentDataset(voices, RATE, 0, some)[index][0] for index in range(100)])
    together = DeviceSegments(voices, RATE, 0, some, None, torch.device("cpu")).batch(0, 100).input.numpy()
    for segments in (one_by_one, together):
        assert 0.15 < np.mean([_has_hum(segment) for segment in segments]) < 0.45


def test_hum_is_a_function_of_seed_and_index(voices: ClipStore) -> None:
    first, again = (SegmentDataset(voices, RATE, 3, HUM)[5][0] for _ in range(2))
    assert np.array_equal(first, again)
    batches = [DeviceSegments(voices, RATE, 3, HUM, None, torch.device("cpu")) for _ in range(2)]
    assert torch.equal(batches[0].batch(8, 3).input, batches[1].batch(8, 3).input)


@pytest.mark.parametrize("values", [{"hum_probability": -0.1}, {"hum_ratio_db": [20.0, -20.0]}])
def test_impossible_hum_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="hum"):
        from_mapping(AugmentConfig, values, "recipe")
