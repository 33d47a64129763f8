"""`codec.audio_write`: containers and sample formats, rounding, clipping, pipes, 4 GiB, what is refused."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from codec import wav
from codec.audio import AudioReader, AudioWriter, RawFormat
from codec.errors import CodecError, UsageError
from codec.pcm import SAMPLE_BYTES, from_bytes, quantize, to_bytes

BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def write(target: object, pcm: np.ndarray, rate: int = 16000, **options: object) -> AudioWriter:
    with AudioWriter(target, rate, pcm.shape[1], **options) as writer:
        for start in range(0, len(pcm), 999):
            writer.write(pcm[start : start + 999])
    return writer


def refused(
    kind: type[CodecError], target: object, rate: int = 16000, channels: int = 1, **options: object
) -> str:
    with pytest.raises(kind) as caught:
        write(target, np.zeros((50_000, channels), np.float32), rate, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def pcm(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, (3001, 2)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [(".wav", name) for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
    + [(".flac", name) for name in ("PCM_S8", "PCM_16", "PCM_24")],
)
def test_lossless_formats_hold_the_rounded_samples(
    tmp_path: Path, rng: np.random.Generator, suffix: str, subtype: str, channels: int
) -> None:
    pcm = rng.uniform(-1, 1, (3001, channels)).astype(np.float32)
    path = tmp_path / f"sound{suffix}"
    write(path, pcm, subtype=subtype)
    info = soundfile.info(path)
    assert (info.subtype, info.samplerate, info.channels, info.frames) == (subtype, 16000, channels, 3001)
    read, _ = soundfile.read(path, dtype="float64", always_2d=True)
    if subtype in BITS:
        assert np.array_equal(read * 2.0 ** (BITS[subtype] - 1), quantize(pcm, BITS[subtype]))
    else:
        assert np.array_equal(read, pcm)


@pytest.mark.parametrize(
    ("name", "subtype", "written"),
    [
        ("a.wav", None, "PCM_16"),
        ("a.WAV", None, "PCM_16"),
        ("a.wav", "pcm_24", "PCM_24"),
        ("a.flac", None, "PCM_16"),
        ("a.ogg", None, "VORBIS"),
        ("a.ogg", "OPUS", "OPUS"),
        ("a.opus", None, "OPUS"),
        ("a.mp3", None, "MPEG_LAYER_III"),
    ],
)
def test_suffix_picks_the_container(
    tmp_path: Path, pcm: np.ndarray, name: str, subtype: str | None, written: str
) -> None:
    write(tmp_path / name, pcm, subtype=subtype)
    info = soundfile.info(tmp_path / name)
    assert (info.subtype, info.frames) == (written, 3001)
    assert os.listdir(tmp_path) == [name]


@given(st.floats(-1.5, 1.5, width=32), st.sampled_from([8, 16, 24, 32]))
def test_rounding_is_to_the_nearest_and_saturates(value: float, bits: int) -> None:
    scale = 2 ** (bits - 1)
    exact = Fraction(value) * scale
    expected = min(max(round(exact), -scale), scale - 1)
    assert quantize(np.array([value], np.float32), bits).tolist() == [expected]


@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
def test_bytes_and_back_is_exact(rng: np.random.Generator, subtype: str) -> None:
    # 24 bits are what float32 holds; all values on their grid have to survive in formats that are as fine.
    bits = {"u8": 8, "s16le": 16}.get(subtype, 24)
    on_grid = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (500, 2)) / 2.0 ** (bits - 1)
    data = to_bytes(on_grid.astype(np.float32), subtype)
    assert len(data) == 1000 * SAMPLE_BYTES[subtype]
    assert np.array_equal(from_bytes(data, subtype, 2), on_grid)


def test_copies_of_a_file_are_equal(tmp_path: Path, pcm: np.ndarray) -> None:
    for name in ("1.wav", "2.flac", "3.wav"):
        write(tmp_path / name, pcm)
        with AudioReader(tmp_path / name) as reader:
            pcm = np.concatenate(list(reader.blocks()))
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "3.wav").read_bytes()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_what_lies_beyond_is_cut_and_does_not_wrap(tmp_path: Path, name: str) -> None:
    pcm = np.zeros((2000, 1), np.float32)
    pcm[[10, 20, 30, 40], 0] = [1.5, -1.5, 1.0, -1.0]
    write(tmp_path / name, pcm)
    if name != "a.ogg":
        read, _ = soundfile.read(tmp_path / name, dtype="int16")
        assert read[[10, 20, 30, 40]].tolist() == [32767, -32768, 32767, -32768]


def test_floating_point_keeps_what_lies_beyond(tmp_path: Path) -> None:
    pcm = np.array([[1.5], [-2.0]], np.float32)
    write(tmp_path / "a.wav", pcm, subtype="FLOAT")
    assert soundfile.read(tmp_path / "a.wav", dtype="float32")[0].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_no_samples(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, np.zeros((0, 1), np.float32))
    with AudioReader(tmp_path / name) as reader:
        assert reader.read(100).shape == (0, 1)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.opus"])
def test_no_samples_where_the_file_could_not_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(CodecError, match=r"would hold no samples, which it cannot as .*: use \.wav"):
        write(tmp_path / name, np.zeros((0, 1), np.float32))
    assert os.listdir(tmp_path) == []


def test_a_single_push_of_many_samples_does_not_crash_vorbis(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.ogg", 48000, 8) as writer:
        writer.write(np.zeros((600_000, 8), np.float32))
    assert soundfile.info(tmp_path / "a.ogg").frames == 600_000


# --- pipes ---


class Pipe(io.RawIOBase):
    """Takes a thousand bytes at a time."""

    name = "the pipe"

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: memoryview) -> int:
        taken = bytes(data[:1000])
        self.data += taken
        return len(taken)


def test_pipe_gets_wav_of_unknown_length(tmp_path: Path, pcm: np.ndarray) -> None:
    pipe = Pipe()
    write(pipe, pcm)
    assert pipe.data[4:8] == pipe.data[40:44] == b"\xff" * 4
    assert pipe.data[44:] == to_bytes(pcm, "s16le")
    (tmp_path / "saved.wav").write_bytes(pipe.data)
    assert soundfile.info(tmp_path / "saved.wav").frames == len(pcm)


def test_standard_output(pcm: np.ndarray) -> None:
    code = """
import sys
import numpy as np
from codec.audio import AudioWriter
pcm = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(-1, 2)
with AudioWriter('-', 16000, 2, subtype='FLOAT') as writer:
    writer.write(pcm)
"""
    done = subprocess.run([sys.executable, "-c", code], input=pcm.tobytes(), capture_output=True, timeout=60)
    assert done.stderr == b""
    assert is_wav_of(done.stdout, pcm)


def is_wav_of(data: bytes, pcm: np.ndarray) -> bool:
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return rate == 16000 and np.array_equal(samples, pcm)


@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
@pytest.mark.parametrize("name", ["samples", "samples.raw", "samples.wav"])
def test_raw_has_no_header(tmp_path: Path, pcm: np.ndarray, subtype: str, name: str) -> None:
    pipe = Pipe()
    for target in (tmp_path / name, pipe):
        write(target, pcm, raw=RawFormat(16000, 2, subtype))
    assert (tmp_path / name).read_bytes() == pipe.data == to_bytes(pcm, subtype)


def test_device(pcm: np.ndarray) -> None:
    write("/dev/null", pcm)
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("subtype", ["VORBIS", "MPEG_LAYER_III", "PCM_S8", "no such thing"])
def test_pipe_takes_wav_only(subtype: str) -> None:
    assert "takes PCM_16" in refused(UsageError, Pipe(), subtype=subtype)


def test_named_pipe_with_a_foreign_suffix(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.flac")
    reader = os.open(tmp_path / "pipe.flac", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert "is a pipe and cannot take FLAC" in refused(UsageError, tmp_path / "pipe.flac")
    finally:
        os.close(reader)


# --- beyond 4 GiB ---


def test_file_beyond_the_limit_becomes_rf64(
    tmp_path: Path, pcm: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "SIZE_LIMIT", 5000)
    write(tmp_path / "long.wav", pcm)
    write(tmp_path / "short.wav", pcm[:1000])
    assert soundfile.info(tmp_path / "long.wav").format == "RF64"
    assert soundfile.info(tmp_path / "short.wav").format == "WAV"
    for read in (soundfile.read(tmp_path / "long.wav", dtype="int16")[0], read_int16(tmp_path / "long.wav")):
        assert np.array_equal(read, quantize(pcm, 16))


def read_int16(path: Path) -> np.ndarray:
    with AudioReader(path) as reader:
        return quantize(np.concatenate(list(reader.blocks())), 16)


def test_header_of_five_gibibytes_is_understood(tmp_path: Path) -> None:
    """A sparse file, which takes no space."""
    data_bytes = 5 * 2**30
    path = tmp_path / "giant.wav"
    header = wav.build_header(RawFormat(48000, 8, "s24le"), data_bytes - data_bytes % 24)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + data_bytes)
    info = soundfile.info(path)
    assert (info.format, info.frames, info.channels) == ("RF64", data_bytes // 24, 8)
    with AudioReader(path) as reader:
        assert (reader.frames, reader.channels, reader.sample_rate) == (data_bytes // 24, 8, 48000)


def test_limit_is_where_32_bits_end() -> None:
    layout = RawFormat(16000, 1, "u8")
    around = len(wav.build_header(layout, 0)) - 8
    assert wav.build_header(layout, 2**32 - 1 - around)[:4] == b"RF64"
    assert wav.build_header(layout, 2**32 - 2 - around)[:4] == b"RIFF"
    assert len({len(wav.build_header(layout, n)) for n in (0, 1, 10**6, 2**33)}) == 1


def test_riff_size_covers_the_file(tmp_path: Path) -> None:
    for samples in (7, 8):
        path = tmp_path / f"{samples}.wav"
        write(path, np.zeros((samples, 1), np.float32), subtype="PCM_U8")
        data = path.read_bytes()
        assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
        assert len(data) % 2 == 0


# --- refused, and nothing is left ---


@pytest.mark.parametrize("name", ["sound", "sound.xyz", "sound.nac", "wav"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    assert "use one of .wav, .flac" in refused(UsageError, tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "VORBIS"), ("a.flac", "FLOAT"), ("a.mp3", "PCM_16")])
def test_subtype_of_another_container(tmp_path: Path, name: str, subtype: str) -> None:
    assert f"cannot hold {subtype}: .{name[2:]} takes " in refused(
        UsageError, tmp_path / name, subtype=subtype
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.flac", 16000, 9), ("a.mp3", 16000, 3), ("a.mp3", 96000, 1), ("a.opus", 44100, 1)],
)
def test_sound_that_the_container_cannot_hold(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    sentence = refused(UsageError, tmp_path / name, rate, channels)
    assert f"cannot hold {channels} channel(s) of {rate} Hz" in sentence
    assert os.listdir(tmp_path) == []


def test_existing_file_needs_force(tmp_path: Path, pcm: np.ndarray) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")
    assert "exists already" in refused(UsageError, tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"old"
    write(tmp_path / "a.wav", pcm, force=True)
    assert soundfile.info(tmp_path / "a.wav").frames == 3001


def test_folder_and_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in refused(UsageError, tmp_path / "folder.wav", force=True)
    assert "make the folder" in refused(UsageError, tmp_path / "none" / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("limit", [0, 100, 1500])
def test_full_disk(tmp_path: Path, rng: np.random.Generator, name: str, limit: int) -> None:
    """libsndfile itself says nothing of it for Ogg and MP3."""
    pcm = rng.uniform(-0.5, 0.5, (48_000, 1)).astype(np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CodecError, match=rf"{name} cannot be written \(.*\): free some space"):
            write(tmp_path / name, pcm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_full_device() -> None:
    assert "/dev/full cannot be written (No space left on device)" in refused(CodecError, "/dev/full")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_nothing_and_says_nothing(
    tmp_path: Path,
    pcm: np.ndarray,
    name: str,
    failure: type[BaseException],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(failure), AudioWriter(tmp_path / name, 16000, 2) as writer:
        writer.write(pcm)
        raise failure
    del writer
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr().err == ""


def test_wrong_number_of_channels(tmp_path: Path, pcm: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\[n, 1\]"), AudioWriter(tmp_path / "a.wav", 16000, 1) as writer:
        writer.write(pcm)
    with pytest.raises(ValueError, match="contradicts"):
        AudioWriter(tmp_path / "a.raw", 16000, 1, raw=RawFormat(8000, 1))
