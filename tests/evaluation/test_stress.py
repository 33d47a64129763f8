from __future__ import annotations

import numpy as np
import pytest

from codec.evaluation import stress
from tests.evaluation.conftest import SAMPLE_RATE, syllables


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("name", stress.SYNTHETIC)
def test_synthetic_sounds_fill_their_time_within_full_scale(name: str, rate: int) -> None:
    sound = stress.SYNTHETIC[name](rate)
    assert sound.dtype == np.float32
    assert len(sound) == round(stress.SECONDS * rate)
    assert np.abs(sound).max() <= 1.0
    assert (name == "silence") == (not sound.any())
    np.testing.assert_array_equal(sound, stress.SYNTHETIC[name](rate))


@pytest.mark.parametrize("name", stress.FROM_SPEECH)
def test_changed_speech_keeps_its_length_and_full_scale(name: str) -> None:
    speech = syllables(2.0)
    sound = stress.FROM_SPEECH[name](speech, SAMPLE_RATE)
    assert sound.shape == speech.shape
    assert np.abs(sound).max() <= 1.0
    assert np.abs(np.corrcoef(sound, speech)[0, 1]) > 0.5


def test_levels_are_what_their_names_say() -> None:
    speech = syllables(2.0)
    level = 20 * np.log10(np.sqrt(np.mean(stress.quiet(speech, SAMPLE_RATE).astype(np.float64) ** 2)))
    assert level == pytest.approx(-40.0, abs=0.01)
    noise = stress.noisy(0.1 * speech, SAMPLE_RATE) - 0.1 * speech
    ratio = 10 * np.log10(
        np.mean((0.1 * speech.astype(np.float64)) ** 2) / np.mean(noise.astype(np.float64) ** 2)
    )
    assert ratio == pytest.approx(5.0, abs=0.1)
    assert np.mean(np.abs(stress.clipped(speech, SAMPLE_RATE)) == 1.0) > 0.02


def test_three_speakers_are_as_long_as_the_shortest() -> None:
    voices = [syllables(seconds, pitch=pitch) for seconds, pitch in ((2.0, 100), (1.0, 160), (1.5, 220))]
    assert len(stress.babble(voices)) == SAMPLE_RATE
