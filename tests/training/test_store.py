"""Reading clips: exact where it can be, resampled once, from memory or by seeking."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.errors import CodecError
from codec.training.sources import Source
from codec.training.store import ClipStore
from tests.training.sounds import ALL_IN_MEMORY, RATE, load, noise_samples, tone, write, write_folder


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_16_bit_samples_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    samples = noise_samples(1, 30_000, channels=2, level=32768)
    write(tmp_path / f"a.{suffix}", samples)
    store = load(tmp_path)
    assert np.array_equal(store.read(0, 100, 20_000), samples[100:20_100])


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_are_read(tmp_path: Path, suffix: str) -> None:
    x = tone(440.0, RATE)
    write(tmp_path / f"a.{suffix}", x)
    store = load(tmp_path)
    assert store.lengths[0] == pytest.approx(RATE, abs=2400)
    assert np.abs(store.read(0, 4000, 8000)).max() == pytest.approx(0.3 * 32768, rel=0.05)


def test_float_samples_beyond_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "a.wav"), np.full(8000, 1.5, np.float32), RATE, subtype="FLOAT")
    assert load(tmp_path).read(0, 0, 8000).min() == 32767


def test_the_memory_budget_does_not_change_the_samples(tmp_path: Path) -> None:
    write_folder(tmp_path)
    cached, seeking, half = load(tmp_path), load(tmp_path, cache_bytes=0), load(tmp_path, cache_bytes=130_000)
    assert half.cached_bytes == 2 * (40_000 + 24_000)
    assert (cached.cached_bytes, seeking.cached_bytes) == (2 * (40_000 + 24_000 + 90_000), 0)
    for index in range(3):
        spans = [store.read(index, 1234, 10_000) for store in (cached, seeking, half)]
        assert np.array_equal(spans[0], spans[1])
        assert np.array_equal(spans[0], spans[2])


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", tone(1000.0, 2 * rate, rate), rate)
    store = load(tmp_path)
    assert store.lengths[0] == 2 * RATE
    expected = tone(1000.0, 2 * RATE) * 32768
    got = store.read(0, 0, 2 * RATE)[:, 0]
    assert np.abs(got - expected)[500:-500].max() < 60


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_seeking_and_memory_agree_for_other_rates(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", noise_samples(5, 3 * rate), rate)
    cached, seeking = load(tmp_path), load(tmp_path, cache_bytes=0)
    length = int(cached.lengths[0])
    assert seeking.lengths[0] == length
    for start, frames in ((0, 1000), (12_345, 16_000), (length - 777, 777)):
        difference = cached.read(0, start, frames).astype(int) - seeking.read(0, start, frames)
        assert difference.shape == (frames, 1)
        assert np.abs(difference).max() <= 1


def test_damaged_files_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folder(tmp_path)
    path = tmp_path / "clip1.flac"
    path.write_bytes(path.read_bytes()[:20_000])
    soundfile.write(str(tmp_path / "nan.wav"), np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        store = load(tmp_path)
    assert [clip.name for clip in store.clips] == ["clip0.flac", "clip2.flac"]
    assert len([record for record in caplog.records if "clip1.flac" in record.message]) == 1
    assert len([record for record in caplog.records if "nan.wav" in record.message]) == 1


def test_damage_found_while_seeking_is_silence_and_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path, (40_000,))
    path = tmp_path / "clip0.flac"
    path.write_bytes(path.read_bytes()[:20_000])
    store = load(tmp_path, cache_bytes=0)
    with caplog.at_level(logging.WARNING):
        assert not store.read(0, 30_000, 5000).any()
        assert not store.read(0, 31_000, 5000).any()
    assert len(caplog.records) == 1


def test_nothing_usable_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise_samples(0, 40_000))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CodecError, match="no audio that can be used"):
        ClipStore(Source(tmp_path).clips(), RATE, ALL_IN_MEMORY)
