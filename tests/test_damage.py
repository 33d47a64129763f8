"""The log of damage: what touches is one place, and a long list grows coarser instead of longer."""

from __future__ import annotations

import numpy as np
import pytest

from codec.damage import MAX_PLACES, Damage, DamageLog


def _loss(start: float, seconds: float = 0.02, reason: str = "missing") -> Damage:
    return Damage(start, seconds, reason, start + seconds)


def _log(*losses: Damage) -> list[Damage]:
    log = DamageLog()
    for loss in losses:
        log.add(loss)
    return log.places


def test_losses_that_touch_are_one_place() -> None:
    (place,) = _log(_loss(1.0), _loss(1.02), _loss(1.04))
    assert (place.start_seconds, place.losses, place.reason) == (1.0, 3, "missing")
    assert place.seconds == pytest.approx(0.06)
    assert place.end_seconds == pytest.approx(1.06)


def test_losses_apart_or_for_another_reason_are_places_of_their_own() -> None:
    places = _log(_loss(1.0), _loss(1.04), _loss(1.06, reason="damaged"), _loss(1.08, 0.0, "stray bytes"))
    assert [place.losses for place in places] == [1, 1, 1, 1]


def test_a_long_lossy_stream_has_a_short_log(rng: np.random.Generator) -> None:
    frames = np.flatnonzero(rng.random(100_000) < 0.1)
    log = DamageLog()
    held = log.places
    for frame in frames:
        log.add(_loss(frame * 0.02))
        assert len(log.places) <= MAX_PLACES
    assert log.places is held
    assert len(log.places) > MAX_PLACES // 4
    assert sum(place.losses for place in log.places) == len(frames)
    assert sum(place.seconds for place in log.places) == pytest.approx(len(frames) * 0.02)
    starts = [place.start_seconds for place in log.places]
    assert starts == sorted(starts)
    inside = [
        any(p.start_seconds - 1e-6 <= f * 0.02 <= p.end_seconds for p in log.places) for f in frames[::500]
    ]
    assert all(inside)


def test_stray_bytes_without_end_are_few_places() -> None:
    assert len(_log(*(_loss(5.0, 0.0, f"{number} bytes") for number in range(5000)))) <= MAX_PLACES
