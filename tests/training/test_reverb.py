"""Rooms: how long they ring, how loud, and what of it a training hears."""

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
from codec.training.reverb import reverberate, room_responses
from codec.training.segments import SegmentDataset
from codec.training.store import ClipStore
from tests.training.sounds import RATE, load, write

DRY = AugmentConfig(gain_db=(0.0, 0.0), noise_probability=0.0)
ROOM = replace(DRY, reverb_probability=1.0, reverb_seconds=(0.3, 0.3), reverb_ratio_db=(6.0, 6.0))
CLICK_AT = 4000


@pytest.fixture
def clicks(tmp_path: Path) -> ClipStore:
    """Half a second of noise that is over at sample 4000 of a second, so that the room is heard alone."""
    samples = np.zeros(RATE, np.float32)
    samples[:CLICK_AT] = 0.2 * np.random.default_rng(0).standard_normal(CLICK_AT)
    write(tmp_path / "a.wav", samples)
    return load(tmp_path)


def test_a_room_falls_by_60_db_in_its_time_and_has_the_energy_1() -> None:
    noise = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    responses = room_responses(noise, torch.tensor([0.2, 0.8]), torch.tensor([0.0, 10.0]), RATE)
    energy = responses.square()
    assert energy.sum(dim=1).tolist() == pytest.approx([1.0, 1.0], rel=1e-4)
    direct = energy[:, 0] / energy[:, 1:].sum(dim=1)
    assert (10 * direct.log10()).tolist() == pytest.approx([0.0, 10.0], abs=1e-3)
    # Levels of 50 ms that lie half the time apart differ by 30 dB.
    for row, seconds in zip(energy, (0.2, 0.8), strict=True):
        starts = [RATE // 50, RATE // 50 + round(seconds / 2 * RATE)]
        levels = [10 * float(row[start : start + RATE // 20].mean().log10()) for start in starts]
        assert levels[0] - levels[1] == pytest.approx(30.0, abs=3.0)


def test_without_reflections_sound_stays_as_it_is() -> None:
    x, noise = torch.randn(2, 2, 3000, generator=torch.Generator().manual_seed(0)).unbind()
    responses = room_responses(noise, torch.full((2,), 0.5), torch.full((2,), torch.inf), RATE)
    torch.testing.assert_close(reverberate(x, responses), x, rtol=0, atol=1e-5)


def test_sound_comes_no_earlier_and_rings_on() -> None:
    click = torch.zeros(1, 2000)
    click[0, 500] = 1.0
    noise = torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    response = room_responses(noise, torch.tensor([0.2]), torch.tensor([0.0]), RATE)
    heard = reverberate(click, response)[0]
    torch.testing.assert_close(heard[500:900], response[0], rtol=0, atol=1e-6)
    assert heard[:500].abs().max() < 1e-6
    assert heard[900:].abs().max() < 1e-6


def _decay_db(heard: np.ndarray) -> float:
    """How many dB a segment falls in a tenth of a second after its noise is over."""
    early, late = (heard[start : start + 400] for start in (CLICK_AT + 400, CLICK_AT + 2000))
    return float(10 * np.log10(np.mean(early**2) / np.mean(late**2)))


def test_segments_are_heard_in_rooms_and_so_are_their_targets(clicks: ClipStore) -> None:
    heard, target = SegmentDataset(clicks, RATE, 0, ROOM)[0]
    assert np.array_equal(heard, target)
    assert _decay_db(heard) == pytest.approx(60.0 * 0.1 / 0.3, abs=3.0)
    batch = DeviceSegments(clicks, RATE, 0, ROOM, None, torch.device("cpu")).batch(0, 4)
    for segment in batch.target.numpy():
        assert _decay_db(segment) == pytest.approx(60.0 * 0.1 / 0.3, abs=3.0)


def test_rooms_are_a_function_of_seed_and_index(clicks: ClipStore) -> None:
    first, again = (SegmentDataset(clicks, RATE, 3, ROOM)[5][0] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, SegmentDataset(clicks, RATE, 3, ROOM)[6][0])
    batches = [DeviceSegments(clicks, RATE, 3, ROOM, None, torch.device("cpu")) for _ in range(2)]
    assert torch.equal(batches[0].batch(8, 3).input, batches[1].batch(8, 3).input)


def test_as_many_segments_as_said_are_in_a_room(clicks: ClipStore) -> None:
    some = replace(ROOM, reverb_probability=0.3)
    one_by_one = np.stack([SegmentDataset(clicks, RATE, 0, some)[index][0] for index in range(100)])
    together = DeviceSegments(clicks, RATE, 0, some, None, torch.device("cpu")).batch(0, 100).input.numpy()
    for segments in (one_by_one, together):
        ringing = np.abs(segments[:, CLICK_AT + 400 : CLICK_AT + 800]).max(axis=1) > 1e-4
        assert 0.15 < ringing.mean() < 0.45


@pytest.mark.parametrize(
    "values", [{"reverb_probability": 1.5}, {"reverb_seconds": [0.001, 0.5]}, {"reverb_ratio_db": [5.0, 1.0]}]
)
def test_impossible_rooms_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="reverb"):
        from_mapping(AugmentConfig, values, "recipe")
