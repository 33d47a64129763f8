"""Segments made on the device: what they are cut from, how they vary, and that they repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import CodecError
from codec.training.augment import AugmentConfig, speed_and_tone
from codec.training.clips import read_clip
from codec.training.data import AudioDataModule, DataConfig
from codec.training.device_clips import DeviceClips
from codec.training.device_segments import DeviceSegments, level_beside, turn_up, warp
from codec.training.sources import Source
from tests.training.sounds import RATE, load, noise_samples, tone, write, write_folder

PLAIN = AugmentConfig(gain_db=(0.0, 0.0), noise_probability=0.0)
CPU = torch.device("cpu")


def _segments(
    folder: Path,
    augment: AugmentConfig = PLAIN,
    samples: int = 1600,
    noise: Path | None = None,
    seed: int = 0,
) -> DeviceSegments:
    return DeviceSegments(load(folder), samples, seed, augment, None if noise is None else load(noise), CPU)


def _places(folder: Path, segment: torch.Tensor) -> list[tuple[str, int]]:
    """Where in which clips of noise a segment was cut out."""
    found = []
    wanted = (segment.numpy() * 32768).astype(np.int16)
    for clip in Source(folder).clips():
        samples = read_clip(clip, RATE)[:, 0]
        for start in np.flatnonzero(samples[: len(samples) - len(wanted) + 1] == wanted[0]):
            if np.array_equal(samples[start : start + len(wanted)], wanted):
                found.append((clip.name, int(start)))
    return found


def test_a_segment_is_a_passage_of_one_clip(clips: Path) -> None:
    batch = _segments(clips).batch(0, 12)
    assert batch.input.shape == batch.target.shape == (12, 1600)
    assert torch.equal(batch.input, batch.target)
    places = [_places(clips, segment) for segment in batch.input]
    assert all(len(place) == 1 for place in places)
    assert len({place[0] for place in places}) == 12


def test_clips_are_drawn_by_length_and_weight(tmp_path: Path) -> None:
    """Levels tell the clips apart: 1 and 3 parts of the sound, the shorter one three times as heavy."""
    write(tmp_path / "a.wav", tone(500.0, RATE, level=0.1))
    write(tmp_path / "b.wav", tone(500.0, 3 * RATE, level=0.4))
    (tmp_path / "list.csv").write_text("path,weight\na.wav,3\nb.wav,1\n")
    batch = _segments(tmp_path / "list.csv", seed=3).batch(0, 2000)
    share = float((batch.input.abs().amax(dim=1) < 0.2).float().mean())
    assert share == pytest.approx(0.5, abs=0.05)


def test_a_batch_depends_on_seed_and_position_alone(clips: Path) -> None:
    augment = AugmentConfig(speed_probability=0.5, equalize_probability=0.5, noise_probability=0.5)
    one, two = (_segments(clips, augment, noise=clips) for _ in range(2))
    two.batch(6, 6)
    assert torch.equal(one.batch(12, 6).input, two.batch(12, 6).input)
    assert not torch.equal(one.batch(12, 6).input, one.batch(18, 6).input)
    assert not torch.equal(one.batch(12, 6).input, _segments(clips, augment, seed=1).batch(12, 6).input)


def test_a_short_clip_lies_in_zeros_at_any_offset(tmp_path: Path) -> None:
    samples = noise_samples(0, 700)
    write(tmp_path / "a.wav", samples)
    write(tmp_path / "z.wav", noise_samples(1, 4000))
    (tmp_path / "list.csv").write_text("path,weight\na.wav,1\nz.wav,0\n")
    batch = _segments(tmp_path / "list.csv").batch(0, 50)
    offsets = set()
    for segment in batch.input:
        inside = (segment != 0).nonzero().flatten()
        start = int(inside[0]) if segment[int(inside[0])] * 32768 == samples[0, 0] else -1
        assert start >= 0
        assert np.array_equal((segment[start : start + 700] * 32768).numpy(), samples[:, 0])
        assert int((segment != 0).sum()) <= 700
        offsets.add(start)
    assert len(offsets) > 20
    assert max(offsets) - min(offsets) > 500


def test_silence_is_drawn_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    """Nine tenths of this clip are silent; a tenth of all spans would touch sound."""
    quiet = np.zeros(10 * RATE, dtype=np.int16)
    quiet[4 * RATE : 5 * RATE] = noise_samples(0, RATE)[:, 0]
    write(tmp_path / "a" / "a.wav", quiet)
    silent = (_segments(tmp_path / "a").batch(0, 400).input == 0).all(dim=1).float().mean()
    assert float(silent) < 0.6  # 0.9 ** 8 = 0.43
    write(tmp_path / "b" / "b.wav", np.zeros(RATE, dtype=np.int16))
    assert not _segments(tmp_path / "b").batch(0, 4).input.any()


def test_of_two_channels_each_and_their_mean_are_heard(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.stack([tone(400.0, RATE, level=0.4), tone(400.0, RATE, level=0.2)], axis=1))
    peaks = _segments(tmp_path).batch(0, 300).input.abs().amax(dim=1)
    shares = [float(((peaks - level).abs() < 0.02).float().mean()) for level in (0.2, 0.3, 0.4)]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0.2


def test_gain_is_in_its_range_and_gives_way_to_the_peak() -> None:
    x = torch.from_numpy(np.stack([tone(500.0, 1600, level=0.1), tone(500.0, 1600, level=0.9)]))
    louder, gain = turn_up(x, torch.tensor([6.0, 6.0]))
    assert float(gain[0]) == pytest.approx(10**0.3, rel=1e-5)
    assert float(louder[1].abs().max()) == pytest.approx(0.99, rel=1e-5)
    silent, _ = turn_up(torch.zeros(1, 10), torch.tensor([6.0]))
    assert not silent.any()


def test_noise_comes_at_its_ratio_and_into_the_target_as_said(tmp_path: Path) -> None:
    write(tmp_path / "tone" / "a.wav", tone(500.0, 4 * RATE))
    write(tmp_path / "noise" / "n.wav", noise_samples(0, 900))  # shorter than a segment: it is repeated
    noisy = replace(PLAIN, noise_probability=1.0, noise_snr_db=(10.0, 10.0), noise_in_target=False)
    batch = _segments(tmp_path / "tone", noisy, noise=tmp_path / "noise").batch(0, 8)
    noise = batch.input - batch.target
    ratio = 10 * torch.log10(batch.target.square().mean(1) / noise.square().mean(1))
    assert torch.allclose(ratio, torch.full((8,), 10.0), atol=0.02)
    half = replace(noisy, noise_probability=0.5)
    batch = _segments(tmp_path / "tone", half, noise=tmp_path / "noise").batch(0, 200)
    share = float((batch.input != batch.target).any(dim=1).float().mean())
    assert share == pytest.approx(0.5, abs=0.15)
    assert not level_beside(torch.zeros(1, 8), torch.ones(1, 8)).any()
    assert not level_beside(torch.ones(1, 8), torch.zeros(1, 8)).any()


def test_clipped_segments_are_flat_at_a_share_of_their_peak(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(500.0, 4 * RATE, level=0.5))
    batch = _segments(tmp_path, replace(PLAIN, clip_probability=0.5, clip_share=(0.4, 0.4))).batch(0, 200)
    assert torch.equal(batch.input, batch.target)
    peaks = batch.input.abs().amax(dim=1)
    clipped = peaks < 0.3
    assert int(clipped.sum()) == pytest.approx(100, abs=30)
    torch.testing.assert_close(peaks[clipped], torch.full_like(peaks[clipped], 0.2), rtol=1e-3, atol=0)
    torch.testing.assert_close(peaks[~clipped], torch.full_like(peaks[~clipped], 0.5), rtol=1e-3, atol=0)


def test_speed_moves_the_pitch_of_a_part_of_the_batch(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(1000.0, 4 * RATE))
    faster = replace(PLAIN, speed_probability=0.5, speed=(1.1, 1.1))
    batch = _segments(tmp_path, faster, samples=8000).batch(0, 40)
    spectra = torch.fft.rfft(batch.input * torch.hann_window(8000)).abs()
    pitches = spectra.argmax(dim=1) * RATE / 8000
    # Transforms are of multiples of 64 samples: 9,344 of them become 8,512, not 9,363.
    assert set(pitches.tolist()) == {1000.0, 1098.0}


def test_the_frequency_response_is_that_of_the_segments_made_one_by_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2112)).astype(np.float32)
    response = rng.uniform(-6.0, 6.0, (3, 9))
    for num_out in (2112, 1984, 2304):
        together = warp(torch.from_numpy(x), num_out, torch.from_numpy(response.astype(np.float32)))
        alone = np.stack(
            [speed_and_tone(row, num_out, curve) for row, curve in zip(x, response, strict=True)]
        )
        assert np.abs(together.numpy() - alone).max() < 1e-4


def test_clips_without_weight_are_one_sentence(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", (8000,))
    (tmp_path / "list.csv").write_text("path,weight\nin/clip0.flac,0\n")
    with pytest.raises(CodecError, match="weight 0"):
        DeviceClips(load(tmp_path / "list.csv"), CPU)


def test_the_data_module_chooses_by_the_recipe(clips: Path) -> None:
    config = DataConfig(segment_seconds=0.1, batch_size=3, workers=2, on_device=True, augment=PLAIN)
    data = AudioDataModule(config, RATE, [clips], seed=4)
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch.input, data.dataset.batch(0, 3).input)
    assert isinstance(data.dataset, DeviceSegments)
