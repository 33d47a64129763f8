"""Input that is refused: one sentence, the right exit code, nothing written."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Result, Run, Sound


@pytest.fixture
def encode(run: Run, tmp_path: Path) -> Callable[..., Result]:
    """`encode(IN, ...)` with the small model into `out.nac`, which must not appear where it fails."""

    def encode_here(source: object, *arguments: object, stdin: bytes | None = None) -> Result:
        result = run("encode", source, "out.nac", "--model", "small", *arguments, stdin=stdin)
        assert (result.code == 0) == (tmp_path / "out.nac").exists()
        return result

    return encode_here


def test_missing_file(run: Run, encode: Callable[..., Result]) -> None:
    for result in (encode("missing.wav"), run("decode", "missing.nac", "a.wav"), run("info", "missing.nac")):
        assert result.code == 1
        assert "missing." in result.error
        assert "does not exist" in result.error


def test_directory(run: Run, encode: Callable[..., Result], tmp_path: Path) -> None:
    for result in (encode(tmp_path), run("decode", tmp_path, "a.wav"), run("info", tmp_path)):
        assert result.code == 2
        assert "is a folder" in result.error


@pytest.mark.parametrize("name", ["empty.wav", "empty.nac", "-"])
def test_empty_file(run: Run, encode: Callable[..., Result], tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    stdin = b"" if name == "-" else None
    results = (
        encode(name, stdin=stdin),
        run("decode", name, "a.wav", stdin=stdin),
        run("info", name, stdin=stdin),
    )
    for result in results:
        assert result.code == 1
        assert "is empty" in result.error
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("name", ["text.wav", "text.txt", "-"])
def test_text_file(run: Run, encode: Callable[..., Result], tmp_path: Path, name: str) -> None:
    text = b"Four score and seven years ago our fathers brought forth\n" * 100
    (tmp_path / name).write_bytes(text)
    stdin = text if name == "-" else None
    result = encode(name, stdin=stdin)
    assert result.code == 1
    assert "is no sound" in result.error
    for result in (run("decode", name, "a.wav", stdin=stdin), run("info", name, stdin=stdin)):
        assert result.code == 1
        assert "is not a codec bitstream" in result.error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(encode: Callable[..., Result], tmp_path: Path, value: float) -> None:
    pcm = np.zeros((100_000, 2), np.float32)
    pcm[90_000, 1] = value
    soundfile.write(tmp_path / "in.wav", pcm, 16000, "FLOAT")
    result = encode("in.wav")
    assert result.code == 1
    assert "sample 90000 (5.625 s)" in result.error
    assert "channel 2" in result.error


def test_more_than_32_channels(encode: Callable[..., Result], tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setparams((33, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(33 * 2 * 100))
    result = encode("in.wav")
    assert result.code == 1
    assert "33 channels" in result.error


def test_more_than_the_maximal_duration(encode: Callable[..., Result], sound: Sound) -> None:
    path = sound("in.wav", 1.01)
    for source, stdin in ((path, None), ("-", path.read_bytes())):
        result = encode(source, "--max-duration", 1, stdin=stdin)
        assert result.code == 1
        assert "longer than 1 s" in result.error
        assert "--max-duration" in result.error
    assert encode(path, "--max-duration", 1.01).code == 0


@pytest.mark.parametrize("limit", [0, -1, "nan"])
def test_a_maximal_duration_that_allows_nothing(
    encode: Callable[..., Result], sound: Sound, limit: object
) -> None:
    result = encode(sound("in.wav"), "--max-duration", limit)
    assert result.code == 2
    assert "--max-duration" in result.error


@pytest.mark.parametrize("target", ["missing/out.nac", "in.wav/out.nac", "a" * 300, "folder"])
def test_unwritable_target(run: Run, sound: Sound, stream: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for command in (["encode", sound("in.wav"), target, "--model", "small"], ["decode", stream, f"{target}"]):
        result = run(*command)
        assert result.code in (1, 2)
        assert target in result.error
    assert sorted(tmp_path.rglob("*")) == sorted({*before, tmp_path / "in.wav"})


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_the_right_to_write(run: Run, sound: Sound, tmp_path: Path) -> None:
    source = sound("in.wav")
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run("encode", source, "locked/out.nac", "--model", "small")
    assert result.code == 2
    assert "locked/out.nac" in result.error


def test_existing_target(run: Run, sound: Sound, stream: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.wav"
    target.write_text("precious")
    for command in (["encode", sound("in.wav"), target, "--model", "small"], ["decode", stream, target]):
        result = run(*command)
        assert result.code == 2
        assert "--force" in result.error
        assert target.read_text() == "precious"
        assert run(*command, "--force").code == 0
        assert target.read_bytes() != b"precious"
        target.write_text("precious")


def test_a_failed_replacement_leaves_the_old_file(run: Run, tmp_path: Path, sound: Sound) -> None:
    (tmp_path / "out.nac").write_text("precious")
    result = run("encode", sound("in.wav"), "out.nac", "--model", "small", "--bitrate", 99, "--force")
    assert result.code == 2
    assert (tmp_path / "out.nac").read_text() == "precious"


def test_in_and_out_are_one_file(run: Run, sound: Sound, tmp_path: Path) -> None:
    source = sound("in.wav")
    (tmp_path / "link.wav").symlink_to(source)
    for target in ("in.wav", "link.wav"):
        result = run("encode", source, target, "--model", "small", "--force")
        assert result.code == 2
        assert "IN itself" in result.error


def test_full_disk(
    run: Run, sound: Sound, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sound("in.wav", 5.0)
    write = os.write

    def write_until_full(fd: int, data: bytes) -> int:
        if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").endswith(".part"):
            if os.fstat(fd).st_size > 100:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(fd, data[:64])
        return write(fd, data)

    monkeypatch.setattr(os, "write", write_until_full)
    for command in (["encode", source, "out.nac", "--model", "small"], ["decode", stream, "out.wav"]):
        result = run(*command)
        assert result.code == 1
        assert "No space left" in result.error
        assert "out." in result.error
        assert not (tmp_path / command[2]).exists()


def test_full_disk_of_a_program(
    start: Callable[..., subprocess.Popen[bytes]], stream: Path, tmp_path: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with open("/dev/full", "wb") as full:
        programs = [
            start("decode", stream, tmp_path / "out.wav", preexec_fn=limit),
            start("decode", stream, "-", stdout=full),
        ]
    for program in programs:
        _, stderr = program.communicate(timeout=120)
        assert program.returncode == 1
        assert stderr.startswith(b"codec: error: ")
        assert stderr.count(b"\n") == 1
        assert b"free some space" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stream.nac", "stream.wav"]


def test_newer_version(run: Run, stream: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[4] += 1
    # A version is believed only where the check of the header holds.
    size = int.from_bytes(data[5:7], "big")
    data[size - 4 : size] = crc32(data[: size - 4]).to_bytes(4, "big")
    stream.write_bytes(data)
    for result in (run("decode", stream, "a.wav"), run("info", stream)):
        assert result.code == 1
        assert "update codec" in result.error


def test_unknown_model(
    run: Run, encode: Callable[..., Result], sound: Sound, stream: Path, checkpoints: Path
) -> None:
    source = sound("in.wav")
    for result in (
        run("encode", source, "out.nac", "--model", "nonesuch"),
        run("decode", stream, "a.wav", "--model", "nonesuch"),
    ):
        assert result.code == 1
        assert "no model nonesuch" in result.error
        assert "name or the folder of a model" in result.error


def test_a_stream_whose_model_is_not_installed(
    run: Run, stream: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from codec.cli.models import cached_model

    cached_model.cache_clear()
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(tmp_path))
    result = run("decode", stream, "a.wav")
    assert result.code == 1
    assert "no model small" in result.error


def test_weights_of_another_configuration(run: Run, sound: Sound, checkpoints: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoints / "small", tmp_path / "mixed")
    config = tmp_path / "mixed" / "config.yaml"
    config.write_text(config.read_text().replace("width: 32", "width: 48"))
    result = run("encode", sound("in.wav"), "out.nac", "--model", tmp_path / "mixed")
    assert result.code == 1
    assert "does not fit" in result.error


def test_another_model_than_the_stream_names(run: Run, stream: Path, tmp_path: Path) -> None:
    result = run("decode", stream, "a.wav", "--model", "other")
    assert result.code == 1
    assert "small" in result.error
    assert "other" in result.error
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("bitrate", [0, 0.34, 7.1, -1, 1e30, "nan", "inf"])
def test_bitrate_out_of_range(encode: Callable[..., Result], sound: Sound, bitrate: object) -> None:
    result = encode(sound("in.wav"), "--bitrate", bitrate)
    assert result.code == 2
    assert "between 0.35 and 7 kbit/s" in result.error


@pytest.mark.parametrize("count", [0, 21, -1, 10**30])
def test_codebooks_out_of_range(encode: Callable[..., Result], sound: Sound, count: int) -> None:
    result = encode(sound("in.wav"), "--codebooks", count)
    assert result.code == 2
    assert "1..20" in result.error


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--bitrate", 0.4, "--codebooks", 2], "not both"),
        (["--packet-ms", 1], "20 to 10000"),
        (["--raw"], "--rate"),
        (["--rate", 16000], "--raw"),
        (["--subtype", "s16le"], "--raw"),
        (["--raw", "--rate", 1], "8000"),
        (["--raw", "--rate", 16000, "--channels", 0], "1 to 32"),
        (["--raw", "--rate", 16000, "--subtype", "mp3"], "s24le"),
        (["--raw", "--rate", 16000, "-r"], "-r"),
    ],
)
def test_options_that_contradict(
    encode: Callable[..., Result], sound: Sound, arguments: list[object], word: str
) -> None:
    result = encode(sound("in.wav"), *arguments)
    assert result.code == 2
    assert word in result.error


@pytest.mark.parametrize(
    ("target", "arguments"),
    [("a.xyz", []), ("a", []), ("a.wav", ["--subtype", "MP3"]), ("a.flac", ["--subtype", "FLOAT"])],
)
def test_sound_formats_that_cannot_be_written(
    run: Run, stream: Path, tmp_path: Path, target: str, arguments: list[str]
) -> None:
    result = run("decode", stream, target, *arguments)
    assert result.code == 2
    assert target in result.error
    assert not (tmp_path / target).exists()


def test_flac_cannot_go_to_a_pipe(run: Run, stream: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.flac")
    reader = os.open(tmp_path / "pipe.flac", os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = run("decode", stream, "pipe.flac")
    finally:
        os.close(reader)
    assert result.code == 2
    assert "pipe" in result.error
