"""`codec.tags`: tags survive the reader and the writer of sound files, in every format that has room."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.audio import AudioReader, AudioWriter
from codec.bitstream.metadata import MAX_METADATA_BYTES, encode_metadata

TAGS = (
    ("title", "Drei Sätze 日本"),
    ("artist", "A. Reader"),
    ("album", "Essays"),
    ("tracknumber", "3"),
    ("genre", "Speech"),
    ("date", "2021"),
    ("comment", "read aloud"),
)
PCM = np.zeros((4800, 1), np.float32)


def write(target: object, tags: tuple[tuple[str, str], ...] = TAGS) -> None:
    with AudioWriter(target, 48000, 1, force=True, tags=tags) as writer:
        writer.write(PCM)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_tags_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound{suffix}"
    write(path)
    with AudioReader(path) as reader:
        assert reader.tags == TAGS
        # MP3 pads to whole frames.
        assert sum(map(len, reader.blocks())) in range(4800, 4800 + (3000 if suffix == ".mp3" else 1))
    write(path, ())
    with AudioReader(path) as reader:
        assert reader.tags == ()


def test_a_wav_through_pipes_keeps_its_tags() -> None:
    pipe = io.BytesIO()
    pipe.name = "pipe"  # type: ignore[attr-defined]

    class Pipe(io.RawIOBase):
        def write(self, data: object) -> int:
            return pipe.write(data)  # type: ignore[arg-type]

        def read(self, size: int = -1) -> bytes:
            return pipe.read(min(size, 100))

    write(Pipe())
    pipe.seek(0)
    with AudioReader(Pipe()) as reader:
        assert reader.tags == TAGS
        assert reader.frames is None
        assert sum(map(len, reader.blocks())) == 4800


def test_tags_behind_the_samples_of_a_wav_are_found(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write(path)
    data = path.read_bytes()
    start, end = data.index(b"LIST"), data.index(b"data")
    path.write_bytes(data[:start] + data[end:] + data[start:end])
    with AudioReader(path) as reader:
        assert reader.tags == TAGS
        assert len(reader.read(10000)) == 4800


def test_wav_tags_are_those_that_others_read(tmp_path: Path) -> None:
    write(tmp_path / "sound.wav")
    with soundfile.SoundFile(tmp_path / "sound.wav") as file:
        assert {**file.copy_metadata()} == dict(TAGS)
        assert file.frames == 4800


def test_several_artists_become_one_tag_and_odd_keys_and_texts_do_no_harm(tmp_path: Path) -> None:
    tags = (("ARTIST", "A"), ("x-odd", "?"), ("artist", "B\0C"), ("title", ""), ("license", "CC0"))
    for suffix, kept in ((".wav", ()), (".flac", (("license", "CC0"),))):
        write(tmp_path / f"sound{suffix}", tags)
        with AudioReader(tmp_path / f"sound{suffix}") as reader:
            assert reader.tags == (("artist", "A; B C"), *kept)


def test_tags_that_no_bitstream_holds_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "sound.flac", (("title", "short"), ("comment", "x" * MAX_METADATA_BYTES), ("date", "1")))
    with AudioReader(tmp_path / "sound.flac") as reader:
        assert reader.tags == (("title", "short"), ("date", "1"))
        encode_metadata(reader.tags)
