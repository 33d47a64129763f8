"""Public corpora in trees laid out as they are published, and the validation passages cut from one."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.errors import CodecError
from codec.training.corpora import VALIDATION_SPEAKERS
from codec.training.sources import Source
from tests.training.sounds import noise_samples, write
from tools.cut_valid import VALID_LIST, cut_passages


def _rows() -> list[dict[str, str]]:
    with VALID_LIST.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _librispeech(root: Path, subset: str, utterances: list[str], frames: int = 8000) -> None:
    for index, utterance in enumerate(utterances):
        speaker, chapter, _ = utterance.split("-")
        folder = root / "LibriSpeech" / subset / speaker / chapter
        write(folder / f"{utterance}.flac", noise_samples(index, frames))
        with (folder / f"{speaker}-{chapter}.trans.txt").open("a", encoding="utf-8") as file:
            file.write(f"{utterance} SOME WORDS\n")


def _libritts(root: Path, subset: str, utterances: list[str]) -> None:
    for utterance in utterances:
        speaker, chapter, *_ = utterance.split("_")
        folder = root / "LibriTTS" / subset / speaker / chapter
        write(folder / f"{utterance}.wav", noise_samples(0, 12_000), 24_000)


def _vctk(root: Path, speakers: list[str]) -> None:
    top = root / "VCTK-Corpus-0.92"
    for speaker in speakers:
        text = top / "txt" / speaker / f"{speaker}_001.txt"
        text.parent.mkdir(parents=True)
        text.write_text("Please call Stella.")
        for microphone in ("mic1", "mic2"):
            name = f"{speaker}_001_{microphone}.flac"
            write(top / "wav48_silence_trimmed" / speaker / name, noise_samples(0, 9000), 48_000)


def test_the_list_and_the_excluded_speakers_agree() -> None:
    rows = _rows()
    assert {row["speaker"] for row in rows} == VALIDATION_SPEAKERS
    assert len(rows) == len(VALIDATION_SPEAKERS) == 20
    assert all(row["utterance"].split("-")[0] == row["speaker"] for row in rows)


def test_librispeech_gives_training_subsets_without_validation_speakers(tmp_path: Path) -> None:
    held_out = [row["utterance"] for row in _rows()]
    _librispeech(tmp_path, "train-clean-100", ["20-100-0000", "20-100-0001", *held_out])
    _librispeech(tmp_path, "train-other-500", ["30-7-0000"])
    _librispeech(tmp_path, "test-clean", ["40-7-0000"])
    clips = Source(tmp_path).clips()
    assert [(clip.path.name, clip.speaker, clip.sample_rate, clip.frames) for clip in clips] == [
        ("20-100-0000.flac", "20", 16_000, 8000),
        ("20-100-0001.flac", "20", 16_000, 8000),
        ("30-7-0000.flac", "30", 16_000, 8000),
    ]
    assert [clip.name for clip in Source(tmp_path / "LibriSpeech").clips()] == [clip.name for clip in clips]
    (one,) = Source(tmp_path / "LibriSpeech" / "test-clean").clips()
    assert one.name == "LibriSpeech/test-clean/40/7/40-7-0000.flac"
    assert len(Source(tmp_path, prefix="LibriSpeech/train-other").clips()) == 1
    assert len(Source(tmp_path, exclude_speakers=frozenset({"20"})).clips()) == 1


def test_libritts_gives_training_subsets_without_validation_speakers(tmp_path: Path) -> None:
    held_out = [f"{speaker}_198_000000_000000" for speaker in sorted(VALIDATION_SPEAKERS)]
    _libritts(tmp_path, "train-clean-360", ["20_5_000001_000000", *held_out])
    _libritts(tmp_path, "dev-clean", ["50_5_000001_000000"])
    (clip,) = Source(tmp_path).clips()
    assert (clip.speaker, clip.sample_rate) == ("20", 24_000)
    assert clip.name == "LibriTTS/train-clean-360/20/5/20_5_000001_000000.wav"


def test_vctk_gives_one_microphone(tmp_path: Path) -> None:
    _vctk(tmp_path, ["p225", "s5"])
    clips = Source(tmp_path / "VCTK-Corpus-0.92").clips()
    assert [(clip.path.name, clip.speaker) for clip in clips] == [
        ("p225_001_mic2.flac", "p225"),
        ("s5_001_mic2.flac", "s5"),
    ]


def test_corpora_side_by_side_are_joined(tmp_path: Path) -> None:
    _librispeech(tmp_path, "train-clean-100", ["20-100-0000"])
    _vctk(tmp_path, ["p225"])
    assert [clip.speaker for clip in Source(tmp_path).clips()] == ["20", "p225"]


def test_a_broken_layout_is_one_sentence(tmp_path: Path) -> None:
    _librispeech(tmp_path, "train-clean-100", ["20-100-0000"])
    (tmp_path / "LibriSpeech/train-clean-100/20/100/20-100.trans.txt").unlink()
    with pytest.raises(CodecError, match="unpack it anew"):
        Source(tmp_path).clips()


def test_passages_are_cut_exactly(tmp_path: Path) -> None:
    _librispeech(tmp_path, "train-clean-100", [row["utterance"] for row in _rows()], frames=150_000)
    out = tmp_path / "valid"
    command = [sys.executable, VALID_LIST.parents[2] / "tools" / "cut_valid.py", tmp_path, out]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"librispeech-{row['utterance']}.flac" for row in _rows()
    )
    for index, row in enumerate(_rows()):
        samples, rate = soundfile.read(str(out / f"librispeech-{row['utterance']}.flac"), dtype="int16")
        last = round(float(row["end_seconds"]) * 16_000)
        assert rate == 16_000
        assert np.array_equal(samples, noise_samples(index, 150_000)[16_000:last, 0])


def test_an_incomplete_corpus_is_named_before_anything_is_written(tmp_path: Path) -> None:
    utterances = [row["utterance"] for row in _rows()]
    _librispeech(tmp_path, "train-clean-100", utterances[:-1], frames=150_000)
    with pytest.raises(CodecError, match=utterances[-1]):
        cut_passages(tmp_path / "LibriSpeech", tmp_path / "valid")
    _librispeech(tmp_path, "train-clean-100", utterances[-1:], frames=20_000)
    with pytest.raises(CodecError, match=utterances[-1]):
        cut_passages(tmp_path / "LibriSpeech", tmp_path / "valid")
    assert not (tmp_path / "valid").exists()
