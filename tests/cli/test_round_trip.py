"""What goes in comes out: length, rate, channels, formats, pipes, and what is told of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli.models import cached_model
from tests.cli.conftest import Run, Sound


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("samples", [0, 1, 4001])
def test_every_rate_and_length_comes_back(run: Run, sound: Sound, rate: int, samples: int) -> None:
    source = sound("in.wav", samples / rate, rate)
    assert run("encode", source, "a.nac", "--model", "small").code == 0
    assert run("decode", "a.nac", "out.wav").code == 0
    info = soundfile.info("out.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (samples, rate, 1, "PCM_16")


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_channels_come_back_each_coded_by_itself(run: Run, tmp_path: Path, channels: int) -> None:
    time = np.arange(8000) / 16000
    pcm = np.stack([0.3 * np.sin(2 * np.pi * 100 * (c + 1) * time) for c in range(channels)], axis=1)
    soundfile.write("in.wav", pcm, 16000)
    soundfile.write("last.wav", pcm[:, -1], 16000)
    for name in ("in", "last"):
        assert run("encode", f"{name}.wav", f"{name}.nac", "--model", "small").code == 0
        assert run("decode", f"{name}.nac", f"{name}_out.wav").code == 0
    decoded, _ = soundfile.read("in_out.wav", dtype="int16")
    alone, _ = soundfile.read("last_out.wav", dtype="int16")
    assert decoded.shape == (8000, channels)
    np.testing.assert_array_equal(decoded[:, -1], alone)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("in.wav", "PCM_U8"),
        ("in.wav", "PCM_24"),
        ("in.wav", "PCM_32"),
        ("in.wav", "FLOAT"),
        ("in.wav", "ULAW"),
        ("in.flac", "PCM_16"),
        ("in.ogg", "VORBIS"),
        ("in.mp3", "MPEG_LAYER_III"),
        ("in.aiff", "PCM_16"),
    ],
)
def test_formats_are_read_from_files_and_pipes_alike(run: Run, sound: Sound, name: str, subtype: str) -> None:
    source = sound(name, 0.5, subtype=subtype)
    assert run("encode", source, "file.nac", "--model", "small").code == 0
    assert run("encode", "-", "pipe.nac", "--model", "small", stdin=source.read_bytes()).code == 0
    assert Path("file.nac").read_bytes() == Path("pipe.nac").read_bytes()


@pytest.mark.parametrize(
    ("name", "arguments", "container", "subtype"),
    [
        ("out.wav", ["--subtype", "FLOAT"], "WAV", "FLOAT"),
        ("out.wav", ["--subtype", "pcm_24"], "WAV", "PCM_24"),
        ("out.flac", [], "FLAC", "PCM_16"),
        ("out.ogg", [], "OGG", "VORBIS"),
        ("out.mp3", [], "MP3", "MPEG_LAYER_III"),
    ],
)
def test_suffix_and_subtype_choose_what_is_written(
    run: Run, stream: Path, name: str, arguments: list[str], container: str, subtype: str
) -> None:
    assert run("decode", stream, name, *arguments).code == 0
    info = soundfile.info(name)
    assert (info.format, info.subtype, info.samplerate) == (container, subtype, 16000)


def test_pipes_at_all_ends_give_what_files_give(run: Run, sound: Sound, stream: Path) -> None:
    source = Path("stream.wav").read_bytes()
    options = ["--model", "small", "--packet-ms", 1000]
    assert run("encode", "-", "-", *options, stdin=source).stdout == stream.read_bytes()
    assert run("decode", stream, "out.wav").code == 0
    piped = run("decode", "-", "-", stdin=stream.read_bytes())
    expected, _ = soundfile.read("out.wav", dtype="int16")
    # A pipe gets a WAV of unknown length, which libsndfile reads to the end of the data.
    actual, rate = soundfile.read(io.BytesIO(piped.stdout), dtype="int16")
    np.testing.assert_array_equal(actual, expected)
    assert rate == 16000


def test_raw_samples_both_ways(run: Run, sound: Sound) -> None:
    source = sound("in.wav", 0.7, 48000, 2)
    pcm, _ = soundfile.read(source, dtype="int16")
    raw = ["--raw", "--rate", 48000, "--channels", 2]
    assert run("encode", "-", "pipe.nac", "--model", "small", *raw, stdin=pcm.tobytes()).code == 0
    Path("in.pcm").write_bytes(pcm.tobytes())
    assert run("encode", "in.pcm", "file.nac", "--model", "small", *raw).code == 0
    assert run("encode", source, "wav.nac", "--model", "small").code == 0
    assert Path("pipe.nac").read_bytes() == Path("file.nac").read_bytes() == Path("wav.nac").read_bytes()
    assert run("decode", "wav.nac", "out.wav").code == 0
    expected, _ = soundfile.read("out.wav", dtype="int16")
    assert run("decode", "wav.nac", "-", "--raw").stdout == expected.tobytes()
    floats = np.frombuffer(run("decode", "wav.nac", "-", "--raw", "--subtype", "f32le").stdout, "<f4")
    np.testing.assert_allclose(floats, expected.ravel() / 32768, atol=0.51 / 32768)


@pytest.mark.parametrize(
    ("channels", "arguments", "codebooks"),
    [
        (1, [], 17),
        (2, [], 17),
        (2, ["--bitrate", 6], 8),
        (1, ["--bitrate", 0.35], 1),
        (1, ["--bitrate", 7], 20),
        (2, ["--codebooks", 3], 3),
    ],
)
def test_the_bitrate_is_the_total_over_all_channels(
    run: Run, sound: Sound, channels: int, arguments: list[object], codebooks: int
) -> None:
    source = sound("in.wav", 20.0, channels=channels)
    result = run("encode", source, "a.nac", "--model", "small", "--json", *arguments)
    report = json.loads(result.stdout)
    assert report["codebooks"] == codebooks
    assert report["payload_bits"] == pytest.approx(codebooks * 7 * 50 * 20 * channels, rel=0.03)
    size = Path("a.nac").stat().st_size
    assert report["file_bytes"] == size
    assert report["payload_bits"] + report["container_bits"] == 8 * size
    assert report["kbps"] == pytest.approx(8 * size / 20 / 1000)


def test_a_summary_tells_real_bitrates(run: Run, stream: Path) -> None:
    kbps = 8 * stream.stat().st_size / 5 / 1000
    result = run("encode", "stream.wav", "b.nac", "--model", "small", "--packet-ms", 1000)
    assert f"{kbps:.2f} kbit/s (payload " in result.stderr
    assert "x real time" in result.stderr
    assert result.stdout == b""
    assert f"{kbps:.2f} kbit/s" in run("decode", stream, "b.wav").stderr


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_quiet_and_json(run: Run, stream: Path, verb: str) -> None:
    command = {
        "encode": ["encode", "stream.wav", "b.nac", "--model", "small", "--force"],
        "decode": ["decode", stream, "b.wav", "--force"],
    }[verb]
    assert run(*command, "--quiet") == (result := run(*command, "-q"))
    assert (result.code, result.stdout, result.stderr) == (0, b"", "")
    result = run(*command, "--json")
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert (report["seconds"], report["sample_rate"], report["model"]) == (5.0, 16000, "small")
    assert report["warnings"] == []
    # Data and report never share a pipe.
    command[2] = "-"
    result = run(*command, "--json")
    assert json.loads(result.stderr)["output"] == "standard output"
    assert len(result.stdout) > 1000


def test_samples_out_of_range_are_clipped_and_counted(run: Run, stream: Path) -> None:
    """The tiny model is no good codec: here it is made to overshoot by a gain in its decoder."""
    head = cached_model("small").decoder_network.get_parameter("coefficient.bias")
    before = head.clone()
    head += 100.0
    try:
        # The id of the model is that of its weights, so that the stream must be made anew.
        assert run("encode", "stream.wav", "loud.nac", "--model", "small").code == 0
        clipped = run("decode", "loud.nac", "clipped.wav", "--json")
        whole = run("decode", "loud.nac", "whole.wav", "--json", "--subtype", "FLOAT")
    finally:
        head.copy_(before)
    floats, _ = soundfile.read("whole.wav")
    integers, _ = soundfile.read("clipped.wav", dtype="int16")
    expected = int(np.count_nonzero(np.abs(floats) == 1))
    assert expected > 0
    assert np.abs(floats).max() == 1
    assert json.loads(clipped.stdout)["clipped_samples"] == expected
    assert json.loads(whole.stdout)["clipped_samples"] == expected
    assert np.all(integers[floats == 1] == 32767)
