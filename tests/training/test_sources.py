"""Folders and manifests: what is found, what is left out, and which mistakes are named."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from codec.errors import CodecError, UsageError
from codec.training.sources import Source
from tests.training.sounds import noise_samples, write, write_folder


def _names(source: Source) -> list[str]:
    return [clip.name for clip in source.clips()]


def test_folders_are_searched_deeply_and_sorted(tmp_path: Path) -> None:
    for name in ("b/2.wav", "a/deep/1.FLAC", "a/0.ogg", "c.mp3"):
        write(tmp_path / name, noise_samples(0, 8000))
    (tmp_path / "a/notes.txt").write_text("no sound")
    assert _names(Source(tmp_path)) == ["a/0.ogg", "a/deep/1.FLAC", "b/2.wav", "c.mp3"]
    assert _names(Source(tmp_path, prefix="a/")) == ["a/0.ogg", "a/deep/1.FLAC"]


def test_unreadable_files_are_logged_once_each_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path, (8000, 8000))
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.flac").write_bytes(b"")
    write(tmp_path / "silent.wav", noise_samples(0, 0))
    with caplog.at_level(logging.WARNING):
        assert _names(Source(tmp_path)) == ["clip0.flac", "clip1.flac"]
    for name in ("text.wav", "empty.flac", "silent.wav"):
        assert sum(name in record.message for record in caplog.records) == 1
    assert "3 of 5 files skipped" in caplog.text


def test_a_folder_without_sound_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(CodecError, match="holds no readable audio"):
        Source(tmp_path).clips()
    with pytest.raises(CodecError, match="does not exist"):
        Source(tmp_path / "nowhere").clips()


def test_a_manifest_gives_speakers_and_weights_in_its_order(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", (8000, 8000))
    write_folder(tmp_path / "valid", (8000,))
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "speaker,path,weight\nanna,train/clip1.flac,2\nben,train/clip0.flac,\n,valid/clip0.flac,1\n"
    )
    clips = Source(manifest, prefix="train/", weight=3.0).clips()
    assert [(clip.name, clip.speaker, clip.weight) for clip in clips] == [
        ("train/clip1.flac", "anna", 6.0),
        ("train/clip0.flac", "ben", 3.0),
    ]
    assert _names(Source(manifest, exclude_speakers=frozenset({"ben"}))) == [
        "train/clip1.flac",
        "valid/clip0.flac",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,speaker\nclip0.flac,a\n", ("line 1", "'path'")),
        ("path,speaker\nclip0.flac,a\nmissing.flac,b\n", ("line 3", "missing.flac")),
        ("path,weight\nclip0.flac,many\n", ("line 2", "'many'")),
        ("path,weight\nclip0.flac,-1\n", ("line 2", "'-1'")),
        ("path,weight\nclip0.flac,nan\n", ("line 2", "'nan'")),
        ("path,weight\n,1\n", ("line 2", "'path'")),
        ("", ("line 1", "'path'")),
    ],
)
def test_mistakes_in_a_manifest_name_file_and_line(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    write_folder(tmp_path, (8000,))
    manifest = tmp_path / "list.csv"
    manifest.write_text(text)
    with pytest.raises(CodecError) as raised:
        Source(manifest).clips()
    for word in (str(manifest), *words):
        assert word in str(raised.value)


def test_an_audio_file_is_no_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise_samples(0, 8000))
    with pytest.raises(CodecError, match=r"a\.flac"):
        Source(path).clips()


def test_sources_are_written_as_one_text() -> None:
    text = "some,folder,prefix=train/,weight=2.5,exclude=p225+p226"
    expected = Source(Path("some,folder"), "train/", 2.5, frozenset({"p225", "p226"}))
    assert Source.parse(text) == expected
    assert Source.parse("folder") == Source(Path("folder"))


@pytest.mark.parametrize("text", ["", "folder,weight=much", "folder,weight=0", "folder,weight=inf"])
def test_wrong_texts_are_bad_usage(text: str) -> None:
    with pytest.raises(UsageError):
        Source.parse(text)
