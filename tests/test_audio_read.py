"""`codec.audio_read`: the format matrix, pipes as they arrive, cut files, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from codec import wav
from codec.audio import AudioReader, RawFormat
from codec.errors import CodecError, UsageError
from codec.pcm import SAMPLE_BYTES, to_bytes

WAV_SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "MS_ADPCM"]
OTHERS = [
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
    ("aiff", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "PCM_24"),
    ("w64", "FLOAT"),
    ("rf64", "PCM_16"),
]


class Trickle(io.RawIOBase):
    """A pipe that delivers a few bytes at a time, whatever is asked for."""

    name = "the pipe"

    def __init__(self, data: bytes, step: int = 7) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        return self._data.read(self._step if size < 0 else min(size, self._step))


def read_all(source: object, **options: object) -> tuple[np.ndarray, list[str]]:
    with AudioReader(source, **options) as reader:
        parts = [np.zeros((0, reader.channels), np.float32), *reader.blocks(1000)]
        return np.concatenate(parts), reader.warnings


def write(path: Path, pcm: np.ndarray, subtype: str, rate: int = 48000) -> bytes:
    container = {"opus": "OGG"}.get(path.suffix[1:], path.suffix[1:].upper())
    soundfile.write(path, pcm, rate, subtype, format=container)
    return path.read_bytes()


@pytest.fixture
def pcm(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, (3001, 2)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("subtype", WAV_SUBTYPES)
def test_wav_reads_like_libsndfile_from_file_and_pipe(
    tmp_path: Path, rng: np.random.Generator, subtype: str, channels: int
) -> None:
    if subtype == "MS_ADPCM" and channels > 2:
        pytest.skip("two channels at most")
    path = tmp_path / "sound.wav"
    data = write(path, rng.uniform(-0.9, 0.9, (3001, channels)), subtype)
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    with AudioReader(path) as reader:
        assert (reader.sample_rate, reader.channels, reader.frames) == (rate, channels, len(expected))
    for source in (path, Trickle(data)):
        samples, warnings = read_all(source)
        assert samples.dtype == np.float32
        assert np.array_equal(samples, expected)
        assert warnings == []


@pytest.mark.parametrize(("suffix", "subtype"), OTHERS)
def test_other_formats_read_like_libsndfile_from_file_and_pipe(
    tmp_path: Path, pcm: np.ndarray, suffix: str, subtype: str
) -> None:
    path = tmp_path / f"sound.{suffix}"
    data = write(path, pcm, subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    for source in (path, Trickle(data, 4096)):
        samples, warnings = read_all(source)
        assert np.array_equal(samples, expected)
        assert warnings == []


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 192000])
def test_rates(tmp_path: Path, pcm: np.ndarray, rate: int) -> None:
    write(tmp_path / "sound.wav", pcm, "PCM_16", rate)
    with AudioReader(tmp_path / "sound.wav") as reader:
        assert reader.sample_rate == rate


def test_suffix_does_not_matter(tmp_path: Path, pcm: np.ndarray) -> None:
    write(tmp_path / "sound.flac", pcm, "PCM_16")
    (tmp_path / "sound.flac").rename(tmp_path / "sound.raw")
    assert len(read_all(tmp_path / "sound.raw")[0]) == len(pcm)


@pytest.mark.parametrize("subtype", SAMPLE_BYTES)
def test_raw_from_file_and_pipe(tmp_path: Path, pcm: np.ndarray, subtype: str) -> None:
    raw = RawFormat(16000, 2, subtype)
    data = to_bytes(pcm, subtype)
    (tmp_path / "sound").write_bytes(data)
    for source in (tmp_path / "sound", Trickle(data)):
        samples, warnings = read_all(source, raw=raw)
        # u8 is as coarse as 1/128.
        assert np.abs(samples - pcm).max() <= 2.0 ** -(4 if subtype == "u8" else 15)
        assert warnings == []
    with AudioReader(tmp_path / "sound", raw=raw) as reader:
        assert reader.frames == len(pcm)


def test_half_a_raw_sample_at_the_end_is_left_out_with_a_warning() -> None:
    samples, warnings = read_all(Trickle(bytes(4 * 10 + 3)), raw=RawFormat(16000, 2))
    assert len(samples) == 10
    assert warnings == ["the pipe ends within a sample: its last 3 bytes were left out"]


@given(chunks=st.lists(st.integers(1, 700), min_size=1, max_size=9))
def test_reading_in_any_pieces_gives_the_same_samples(chunks: list[int]) -> None:
    data = to_bytes(np.linspace(-1, 1, 2000, dtype=np.float32).reshape(-1, 2), "s24le")
    layout = RawFormat(16000, 2, "s24le")
    stream = wav.build_header(layout, None) + data
    with AudioReader(Trickle(stream, 41)) as reader:
        parts = [reader.read(n) for n in chunks]
        parts += reader.blocks()
    assert to_bytes(np.concatenate(parts), "s24le") == data


# --- pipes ---


def test_live_pipe_delivers_what_is_there() -> None:
    """A sample goes through before the next is written; waiting for a full block would hang."""
    read_end, write_end = os.pipe()
    raw = RawFormat(16000, 1)
    with open(read_end, "rb", buffering=0) as stream, AudioReader(stream, raw=raw) as reader:
        for value in (0.25, -0.5):
            os.write(write_end, to_bytes(np.array([[value]], np.float32), "s16le"))
            assert reader.read(65536).tolist() == [[value]]
        os.write(write_end, b"\x00")
        late = threading.Timer(0.05, os.write, (write_end, b"\x40"))
        late.start()
        assert reader.read(65536).tolist() == [[0.5]]
        late.join()
        os.close(write_end)
        assert reader.read(65536).shape == (0, 1)


def through_stdin(data: bytes, arguments: str = "") -> bytes:
    """What a process reads from its standard input, as float32 bytes."""
    code = f"""
import sys
from codec.audio import AudioReader, RawFormat
with AudioReader('-'{arguments}) as reader:
    for block in reader.blocks(777):
        sys.stdout.buffer.write(block.tobytes())
"""
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_standard_input(tmp_path: Path, pcm: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, pcm, 48000)
    assert through_stdin(path.read_bytes()) == read_all(path)[0].tobytes()


def test_standard_input_raw(pcm: np.ndarray) -> None:
    data = to_bytes(pcm, "f32le")
    assert through_stdin(data, ", raw=RawFormat(48000, 2, 'f32le')") == data


def test_named_pipe(tmp_path: Path, pcm: np.ndarray) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = write(tmp_path / "sound.flac", pcm, "PCM_16")
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    samples, _ = read_all(pipe)
    writer.join(timeout=10)
    assert len(samples) == len(pcm)


def test_missing_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        AudioReader("-")


def test_memory_stays_small_for_a_long_pipe() -> None:
    """150 MB of sound through a process that may not take more than a little."""
    code = """
import resource
from codec.audio import AudioReader, RawFormat
with AudioReader('-', raw=RawFormat(16000, 1)) as reader:
    reader.read(65536)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frames = sum(len(block) for block in reader.blocks())
    print(frames > 70e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=bytes(150_000_000), capture_output=True, timeout=120
    )
    assert done.stdout == b"True True\n", done.stderr


# --- WAV headers as they occur ---


def wav_bytes(data: bytes, riff: int, size: int, before: bytes = b"") -> bytes:
    """Mono 16-bit WAV with these sizes in its header, and chunks before the samples."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", riff, b"WAVE")
        + before
        + fmt
        + struct.pack("<4sI", b"data", size)
        + data
    )


SAMPLES = np.arange(-500, 500, dtype="<i2").tobytes()


@pytest.mark.parametrize(
    ("riff", "size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0, 0),
        (36, 0),
        (0xFFFFFFFF, 0),
        (0x7FFFF024, 0x7FFFF000),
        (0x80000024, 0x80000000),
        (0xFFFFF024, 0xFFFFF000),
    ],
)
def test_unknown_length_reads_to_the_end_without_a_warning(tmp_path: Path, riff: int, size: int) -> None:
    data = wav_bytes(SAMPLES, riff, size)
    (tmp_path / "saved.wav").write_bytes(data)
    for source in (Trickle(data), tmp_path / "saved.wav"):
        samples, warnings = read_all(source)
        assert to_bytes(samples, "s16le") == SAMPLES
        assert warnings == []


def test_chunks_around_the_samples_are_passed_over(tmp_path: Path) -> None:
    chunk = struct.pack("<4sI", b"LIST", 5) + b"INFOx\0"
    data = wav_bytes(SAMPLES + chunk, 36 + 2 * len(chunk) + len(SAMPLES), len(SAMPLES), before=chunk)
    (tmp_path / "sound.wav").write_bytes(data)
    for source in (Trickle(data), tmp_path / "sound.wav"):
        assert to_bytes(read_all(source)[0], "s16le") == SAMPLES


def test_no_samples_but_a_chunk_behind_them_is_no_sound() -> None:
    chunk = struct.pack("<4sI", b"LIST", 4) + b"INFO"
    samples, warnings = read_all(Trickle(wav_bytes(chunk, 36 + len(chunk), 0)))
    assert len(samples) == 0
    assert warnings == []


def test_zero_samples_and_one(tmp_path: Path) -> None:
    for count in (0, 1):
        path = tmp_path / f"{count}.wav"
        soundfile.write(path, np.zeros((count, 1)), 16000)
        for source in (path, Trickle(path.read_bytes())):
            samples, warnings = read_all(source)
            assert samples.shape == (count, 1)
            assert warnings == []


def test_extensible_wav_of_libsndfile(tmp_path: Path, pcm: np.ndarray) -> None:
    path = tmp_path / "sound.wav"
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        soundfile.write(path, pcm, 48000, subtype, format="WAVEX")
        expected, _ = soundfile.read(path, dtype="float32")
        assert np.array_equal(read_all(Trickle(path.read_bytes()))[0], expected)


@pytest.mark.parametrize("cut", [1, 2, 100, 1999])
def test_cut_wav_gives_what_is_there_and_a_warning(tmp_path: Path, cut: int) -> None:
    data = wav_bytes(SAMPLES, 36 + len(SAMPLES), len(SAMPLES))[:-cut]
    path = tmp_path / "cut.wav"
    path.write_bytes(data)
    for source, name in ((path, str(path)), (Trickle(data), "the pipe")):
        samples, warnings = read_all(source)
        assert to_bytes(samples, "s16le") == SAMPLES[: (len(SAMPLES) - cut) // 2 * 2]
        assert warnings == [f"{name} is cut: {cut} bytes are missing at its end"]


def test_cut_flac_gives_what_is_there_and_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "cut.flac"
    whole = rng.uniform(-0.9, 0.9, (48000, 1)).astype(np.float32)
    data = write(path, whole, "PCM_16")
    path.write_bytes(data[: len(data) // 2])
    samples, warnings = read_all(path)
    assert 0 < len(samples) < 48000
    assert np.abs(samples - whole[: len(samples)]).max() < 1e-4
    assert warnings == [f"{path} is cut or damaged: only its first {len(samples) / 48000:.3f} s can be read"]


@pytest.mark.parametrize("length", [0, 1, 11, 12, 20, 35, 43])
def test_cut_anywhere_in_the_header_is_one_sentence(tmp_path: Path, length: int) -> None:
    data = wav_bytes(SAMPLES, 36 + len(SAMPLES), len(SAMPLES))[:length]
    path = tmp_path / "cut.wav"
    path.write_bytes(data)
    for source in (path, Trickle(data)):
        with pytest.raises(CodecError) as caught:
            AudioReader(source)
        assert "\n" not in str(caught.value)


@given(st.data())
def test_damaged_headers_end_in_samples_or_one_sentence(data: st.DataObject) -> None:
    """Any bytes of a header may be anything: no other exception, no endless loop, no huge allocation."""
    header = bytearray(wav_bytes(b"", 36 + 200, 200, struct.pack("<4sI", b"fact", 4) + bytes(4)))
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    sentence, samples = "", np.zeros(0)
    try:
        samples, _ = read_all(Trickle(bytes(header) + bytes(200), 64))
    except CodecError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert samples.size <= 300


def test_giant_chunk_is_not_believed() -> None:
    giant = struct.pack("<4sI", b"LIST", 0xFFFFFFF0) + bytes(100)
    with pytest.raises(CodecError, match="more than 16 MiB"):
        AudioReader(Trickle(wav_bytes(SAMPLES, 36, len(SAMPLES), before=giant)))


# --- refused ---


def refused(source: object, kind: type[CodecError] = CodecError, **options: object) -> str:
    with pytest.raises(kind) as caught:
        read_all(source, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.wav") == f"{tmp_path / 'none.wav'} does not exist: check its name"


def test_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path, UsageError)


@pytest.mark.parametrize("name", ["empty.wav", "empty.flac", "empty"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert f"{name} is empty" in refused(tmp_path / name)


def test_empty_pipe() -> None:
    assert "the pipe is empty" in refused(Trickle(b""))


@pytest.mark.parametrize("name", ["notes.txt", "notes.wav", "notes.mp3", "notes.raw"])
@pytest.mark.parametrize("content", [b"only words\n" * 400, b"RIFF, he said", bytes(5000), b"\x93NUMPY" * 99])
def test_no_sound(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} is no sound that can be read" in refused(tmp_path / name)
    assert "the pipe is no sound that can be read" in refused(Trickle(content))


def test_endless_pipe_of_no_sound_is_refused_at_once() -> None:
    """It must not be spooled until the disk is full."""
    start = time.monotonic()
    with open("/dev/zero", "rb", buffering=0) as stream:
        assert "is no sound" in refused(stream)
    assert "is no sound" in refused("/dev/zero")
    assert time.monotonic() - start < 5


def as_pipe(path: Path) -> Trickle:
    return Trickle(path.read_bytes(), 1000)


@pytest.mark.parametrize("opened", [lambda path: path, as_pipe])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float, opened: Callable[[Path], object]) -> None:
    pcm = np.zeros((4000, 2), np.float32)
    pcm[3210, 1] = value
    path = tmp_path / "bad.wav"
    soundfile.write(path, pcm, 16000, "FLOAT")
    sentence = refused(opened(path))
    assert f"holds {value} at sample 3210 (0.201 s), channel 2" in sentence


def test_too_many_channels(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, np.zeros((100, 33)), 16000)
    assert "has 33 channels: give 1 to 32" in refused(path)
    assert "has 33 channels" in refused(as_pipe(path))
    soundfile.write(path, np.zeros((100, 32)), 16000)
    assert read_all(path)[0].shape == (100, 32)


@pytest.mark.parametrize("rate", [1, 7999, 192001, 2**31 - 1])
def test_rate_out_of_range(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.zeros((100, 1)), rate)
    assert f"has {rate} Hz: convert it" in refused(path)
    assert f"has {rate} Hz: convert it" in refused(as_pipe(path))


def test_too_long_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros((16001, 1)), 16000)
    with pytest.raises(CodecError, match=r"lasts longer than 1 s: allow more with --max-duration"):
        AudioReader(path, max_duration=1)
    soundfile.write(path, np.zeros((16000, 1)), 16000)
    assert len(read_all(path, max_duration=1)[0]) == 16000


def test_too_long_while_reading() -> None:
    layout = RawFormat(16000, 1)
    stream = wav.build_header(layout, None) + bytes(2 * 16001)
    assert "lasts longer than 1 s" in refused(Trickle(stream, 5000), max_duration=1)


def test_more_than_a_day_is_refused_by_default(tmp_path: Path) -> None:
    path = tmp_path / "day.raw"
    with path.open("wb") as file:
        file.truncate(2 * 8000 * 24 * 3600 + 2)
    assert "lasts longer than 86400 s" in refused(path, raw=RawFormat(8000, 1))


@pytest.mark.parametrize(
    "arguments", [(16000, 0), (16000, 33), (7999, 1), (192001, 1), (16000, 1, "s20le"), (16000, 1, "S16LE")]
)
def test_bad_raw_format_is_bad_usage(arguments: tuple[object, ...]) -> None:
    with pytest.raises(UsageError):
        RawFormat(*arguments)


def test_full_spool_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pcm: np.ndarray) -> None:
    data = write(tmp_path / "sound.flac", pcm, "PCM_16")
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda buffering: full)
        assert "set TMPDIR to a larger folder" in refused(Trickle(data, 4096))
