"""Importance of frames: relative to the level of speech, and where comfort noise may stand in."""

from __future__ import annotations

import numpy as np
import pytest

from codec.comfort import SOURCES
from codec.rate.importance import Importance


def _energy(*parts: tuple[float, int]) -> np.ndarray:
    """Mean squares ``[1, F]`` from pairs of a level in dB and a number of frames."""
    return np.concatenate([np.full((1, frames), 10.0 ** (level / 10)) for level, frames in parts], axis=1)


def test_loud_frames_matter_more_and_volume_does_not_matter() -> None:
    energy = _energy((-20, 30), (-45, 30))
    weights = Importance(50, 60).weigh(energy).importance
    assert weights[0, 10] == pytest.approx(1.0)
    assert 0.1 < weights[0, 50] < 0.5
    louder = Importance(50, 60).weigh(energy * 10).importance
    np.testing.assert_allclose(louder, weights, atol=1e-9)


def test_the_quieter_of_two_channels_matters_less() -> None:
    energy = np.concatenate([_energy((-20, 30)), _energy((-40, 30))])
    weights = Importance(50, 60).weigh(energy).importance
    assert (weights[1] < weights[0]).all()


def test_noise_stands_in_only_after_its_sources() -> None:
    noise = Importance(50, 1000).weigh(_energy((-20, 30), (-65, 40))).noise[0]
    assert np.isinf(noise[:31]).all(), "speech is no noise"
    ready = np.flatnonzero(np.isfinite(noise))
    # The first frame behind the speech still overlaps it.
    assert ready[0] == 31 + SOURCES
    assert len(ready) == 40 - 1 - SOURCES


def test_noise_that_changes_its_level_is_sent_anew() -> None:
    noise = Importance(50, 1000).weigh(_energy((-20, 30), (-80, 30), (-62, 30))).noise[0]
    assert np.isinf(noise[60:63]).all()
    assert np.isfinite(noise[70:]).all()


def test_a_long_pause_does_not_become_loud() -> None:
    importance = Importance(50, 100)
    importance.weigh(_energy((-20, 100)))
    for _ in range(60):
        weights = importance.weigh(_energy((-75, 100)))
    assert weights.importance.max() < 0.3
    assert np.isfinite(weights.noise[0, 10:]).all()


def test_sources_come_again_at_each_restart() -> None:
    noise = Importance(50, 25).weigh(_energy((-20, 25), (-70, 75))).noise[0]
    starts = [frame for frame in (50, 75) if np.isinf(noise[frame : frame + SOURCES]).all()]
    assert starts == [50, 75]
    assert np.isfinite(noise[55:75]).all()


def test_digital_silence_needs_no_codes() -> None:
    noise = Importance(50, 100).weigh(np.zeros((2, 20))).noise
    assert (noise[:, SOURCES + 1 :] == 0.0).all()
    assert np.isinf(noise[:, :SOURCES]).all()


def test_frames_may_come_one_by_one_within_a_level() -> None:
    energy = _energy((-20, 5), (-30, 20), (-70, 20))
    whole = Importance(50, 45).weigh(energy).noise
    single = Importance(50, 45)
    noise = [single.weigh(energy[:, at : at + 1]).noise for at in range(45)]
    np.testing.assert_array_equal(np.concatenate(noise, axis=1), whole)
