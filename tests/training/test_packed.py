"""Packed parts: the same clips in few files, exact, bounded, and with mistakes in the index named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from codec.errors import CodecError, UsageError
from codec.training.augment import AugmentConfig
from codec.training.packed import INDEX_NAME, pack_clips
from codec.training.segments import SegmentDataset
from codec.training.sources import Source
from tests.training.sounds import RATE, load, noise_samples, tone, write, write_folder
from tools.pack_audio import main

SMALL = 2**19


def _run(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_segments_from_parts_equal_those_from_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clips", (60_000, 30_000, 200_000, 5_000, 90_000, 120_000))
    write(folder / "stereo.wav", noise_samples(8, 50_000, channels=2))
    write(folder / "other_rate.wav", noise_samples(9, 50_000), 22_050)
    code, output = _run(folder, tmp_path / "packed", "--max-mb", 0.5)
    assert code == 0, output
    parts = list((tmp_path / "packed").glob("*.flac"))
    assert 3 <= len(parts) < 8
    assert all(part.stat().st_size <= SMALL for part in parts)
    for cache_bytes in (2**30, 0):
        plain = load(folder, cache_bytes=cache_bytes)
        packed = load(tmp_path / "packed", cache_bytes=cache_bytes)
        assert [clip.name for clip in packed.clips] == [clip.name for clip in plain.clips]
        pair = [SegmentDataset(store, 8000, 1, AugmentConfig()) for store in (plain, packed)]
        for index in range(40):
            assert np.array_equal(pair[0][index][0], pair[1][index][0])


def test_speakers_weights_and_prefixes_survive(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", (8000, 8000))
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,speaker,weight\ntrain/clip0.flac,anna,2\ntrain/clip1.flac,ben,1\n")
    pack_clips(Source(manifest).clips(), tmp_path / "packed")
    clips = Source(tmp_path / "packed", prefix="train/clip0", weight=5.0).clips()
    assert [(clip.name, clip.speaker, clip.weight) for clip in clips] == [("train/clip0.flac", "anna", 10.0)]


def test_a_clip_longer_than_a_part_is_cut(tmp_path: Path) -> None:
    samples = noise_samples(0, 700_000)
    write(tmp_path / "in/a.wav", samples)
    pack_clips(Source(tmp_path / "in").clips(), tmp_path / "packed", max_bytes=SMALL)
    store = load(tmp_path / "packed")
    assert [clip.name for clip in store.clips] == ["a.wav#1", "a.wav#2", "a.wav#3"]
    joined = np.concatenate([store.read(index, 0, int(store.lengths[index])) for index in range(3)])
    assert np.array_equal(joined, samples)


def test_parts_are_full_where_sound_compresses_well(tmp_path: Path) -> None:
    for index in range(40):
        write(tmp_path / "in" / f"{index:02d}.wav", noise_samples(index, 16_000, level=500))
    pack_clips(Source(tmp_path / "in").clips(), tmp_path / "packed", max_bytes=SMALL)
    sizes = [part.stat().st_size for part in sorted((tmp_path / "packed").glob("*.flac"))]
    assert len(sizes) >= 2
    assert all(0.85 * SMALL < size <= SMALL for size in sizes[:-1])
    assert load(tmp_path / "packed").lengths.sum() == 40 * 16_000


def test_parts_can_be_resampled(tmp_path: Path) -> None:
    write(tmp_path / "in/a.wav", tone(1000.0, 44_100, 44_100), 44_100)
    pack_clips(Source(tmp_path / "in").clips(), tmp_path / "packed", sample_rate=RATE)
    (clip,) = Source(tmp_path / "packed").clips()
    assert (clip.sample_rate, clip.frames) == (RATE, RATE)


def test_damaged_and_odd_files_are_reported(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", (40_000, 8000))
    path = folder / "clip0.flac"
    path.write_bytes(path.read_bytes()[:20_000])
    write(folder / "wide.wav", noise_samples(0, 8000, channels=9))
    code, output = _run(folder, tmp_path / "packed")
    assert code == 0
    assert "clip0.flac" in output
    assert "wide.wav" in output
    assert [clip.name for clip in Source(tmp_path / "packed").clips()] == ["clip1.flac"]


def test_bad_usage_ends_with_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", (8000,))
    before = sorted(tmp_path.rglob("*"))
    for arguments in ((folder,), (folder, folder), (folder, tmp_path / "out", "--max-mb", 0.01)):
        code, output = _run(*arguments)
        assert code == 2
        assert output.count("error: ") == 1
    assert _run(tmp_path / "nowhere", tmp_path / "out")[0] == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failure_leaves_no_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", (40_000,))
    path = folder / "clip0.flac"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CodecError):
        pack_clips(Source(folder).clips(), tmp_path / "packed")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    with pytest.raises(UsageError, match="exists already"):
        pack_clips([], folder)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("part-000.flac,0,8001,x,,1", "outside"),
        ("part-000.flac,-1,10,x,,1", "outside"),
        ("part-000.flac,0,0,x,,1", "outside"),
        ("part-000.flac,ten,10,x,,1", "outside"),
        ("part-000.flac,0,10,x,,heavy", "heavy"),
        ("part-009.flac,0,10,x,,1", "part-009.flac"),
        ("../in/clip0.flac,0,10,x,,1", "clip0.flac"),
        ("part-000.flac,0,10,,,1", "'name'"),
    ],
)
def test_mistakes_in_the_index_name_file_and_line(tmp_path: Path, row: str, word: str) -> None:
    pack_clips(Source(write_folder(tmp_path / "in", (8000,))).clips(), tmp_path / "packed")
    index = tmp_path / "packed" / INDEX_NAME
    index.write_text(index.read_text() + row + "\n")
    with pytest.raises(CodecError) as raised:
        Source(tmp_path / "packed").clips()
    for text in (INDEX_NAME, "line 3", word):
        assert text in str(raised.value)
