"""Segments: functions of seed and index alone, never all silent, padded where a clip is short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import CodecError
from codec.training.augment import AugmentConfig
from codec.training.segments import SegmentDataset
from codec.training.sources import Source
from codec.training.spans import RandomSpans
from codec.training.store import ClipStore
from tests.training.sounds import ALL_IN_MEMORY, RATE, load, noise_samples, tone, write, write_folder

EVERYTHING = AugmentConfig(noise_probability=0.5, speed_probability=0.5, equalize_probability=0.5)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return load(write_folder(tmp_path / "clips"))


def test_an_item_depends_on_seed_and_index_alone(store: ClipStore, tmp_path: Path) -> None:
    noise = load(write_folder(tmp_path / "noise", (5000,)))
    first = SegmentDataset(store, 8000, seed=3, augment=EVERYTHING, noise=noise)
    again = SegmentDataset(store, 8000, seed=3, augment=EVERYTHING, noise=noise)
    other = SegmentDataset(store, 8000, seed=4, augment=EVERYTHING, noise=noise)
    forward = [first[index][0] for index in range(30)]
    backward = [again[index][0] for index in reversed(range(30))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not any(np.array_equal(a, other[index][0]) for index, a in enumerate(forward))
    assert all(segment.shape == (8000,) and segment.dtype == np.float32 for segment in forward)


def test_without_augmentation_segments_are_spans_of_the_clips(store: ClipStore) -> None:
    dataset = SegmentDataset(store, 8000, seed=0)
    clips = [store.read(index, 0, int(store.lengths[index]))[:, 0] for index in range(3)]
    for index in range(10):
        segment = np.rint(dataset[index][0] * 32768).astype(np.int16)
        starts = [(clip, np.flatnonzero(clip == segment[0])) for clip in clips]
        assert any(np.array_equal(clip[start : start + 8000], segment) for clip, at in starts for start in at)


def test_clips_are_drawn_by_length_times_weight(tmp_path: Path) -> None:
    for name, frames, level in (("long", 60_000, 0.1), ("short", 20_000, 0.2), ("never", 60_000, 0.4)):
        write(tmp_path / f"{name}.wav", np.full(frames, level, np.float32))
    weights = {"long.wav": 1.0, "short.wav": 2.0, "never.wav": 0.0}
    clips = [replace(clip, weight=weights[clip.name]) for clip in Source(tmp_path).clips()]
    spans = RandomSpans(ClipStore(clips, RATE, ALL_IN_MEMORY))
    rng = np.random.default_rng(0)
    levels = np.array([spans.draw(100, rng)[0] for _ in range(3000)])
    assert np.mean(np.isclose(levels, 0.1, atol=1e-3)) == pytest.approx(0.6, abs=0.04)
    assert np.mean(np.isclose(levels, 0.2, atol=1e-3)) == pytest.approx(0.4, abs=0.04)


def test_weights_that_are_all_zero_are_one_sentence(tmp_path: Path) -> None:
    clips = [replace(clip, weight=0.0) for clip in Source(write_folder(tmp_path)).clips()]
    with pytest.raises(CodecError, match="weight 0"):
        SegmentDataset(ClipStore(clips, RATE, ALL_IN_MEMORY), 8000, seed=0)


def test_short_clips_are_padded_with_zeros_at_any_offset(tmp_path: Path) -> None:
    samples = noise_samples(7, 3000)
    samples[[0, -1]] = 5000
    write(tmp_path / "a.flac", samples)
    dataset = SegmentDataset(load(tmp_path), 8000, seed=1)
    offsets = set()
    for index in range(20):
        segment = dataset[index][0]
        first = int(np.flatnonzero(segment)[0])
        assert np.array_equal(segment[first : first + 3000] * 32768, samples[:, 0])
        assert not segment[first + 3000 :].any()
        offsets.add(first)
    assert len(offsets) > 15
    assert max(offsets) <= 5000


def test_a_clip_of_one_sample_and_speed_change_give_a_segment(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.array([0.5], np.float32))
    augment = replace(EVERYTHING, speed_probability=1.0)
    segment, _ = SegmentDataset(load(tmp_path), 800, seed=1, augment=augment)[0]
    assert segment.shape == (800,)
    assert np.isfinite(segment).all()


def test_stereo_gives_each_channel_and_the_mean(tmp_path: Path) -> None:
    stereo = np.stack([np.full(20_000, 0.1), np.full(20_000, 0.3)], axis=1).astype(np.float32)
    write(tmp_path / "a.wav", stereo)
    dataset = SegmentDataset(load(tmp_path), 1000, seed=2)
    levels = np.array([dataset[index][0][0] for index in range(60)])
    for level in (0.1, 0.2, 0.3):
        assert np.isclose(levels, level, atol=1e-3).sum() > 8


def test_silence_is_drawn_again_as_long_as_there_is_sound(tmp_path: Path) -> None:
    half_silent = np.concatenate([np.zeros(80_000), tone(300.0, 80_000)]).astype(np.float32)
    write(tmp_path / "a.wav", half_silent)
    dataset = SegmentDataset(load(tmp_path), 4000, seed=0)
    silent = sum(float(np.abs(dataset[index][0]).max()) < 1e-3 for index in range(200))
    assert silent <= 4  # 0.5 ** 8 of 200 is 1; without the rule it is 98


def test_silence_alone_still_gives_segments(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(40_000, np.float32))
    segment, target = SegmentDataset(load(tmp_path), 4000, seed=0, augment=EVERYTHING)[5]
    assert not segment.any()
    assert not target.any()
