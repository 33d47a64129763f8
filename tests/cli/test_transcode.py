"""`codec transcode`: smaller bitstreams without a pass through sound."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from codec.checkpoint import save_model
from codec.config import BottleneckConfig
from tests.cli.conftest import Run, Sound
from tests.small_model import SMALL, small_model


def sound_of(run: Run, stream: str | Path) -> np.ndarray:
    assert run("decode", stream, "sound.wav", "--force", "--strict").code == 0
    return soundfile.read("sound.wav", dtype="int16")[0]


@pytest.mark.parametrize(("arguments", "codebooks"), [(["-b", 1.5], 4), (["--codebooks", 9], 9)])
def test_it_sounds_as_if_encoded_at_that_bitrate(
    run: Run, stream: Path, arguments: list[object], codebooks: int
) -> None:
    result = run("transcode", stream, "low.nac", "--json", *arguments)
    assert (result.code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    size = Path("low.nac").stat().st_size
    assert report["payload_bits"] + report["container_bits"] == 8 * size
    assert (report["seconds"], report["warnings"]) == (5.0, [])
    assert report["kbps"] == pytest.approx(8 * size / 5000)
    told = json.loads(run("info", "low.nac", "--json").stdout)
    for key in ("raw_index_bits", "payload_bits", "container_bits", "codebooks_per_frame"):
        assert told[key] == report[key], key
    assert told["codebooks_per_frame"] == {"mean": codebooks, "min": codebooks, "max": codebooks}
    assert run("encode", "stream.wav", "direct.nac", "--model", "small", *arguments).code == 0
    np.testing.assert_array_equal(sound_of(run, "low.nac"), sound_of(run, "direct.nac"))


def test_pipes(run: Run, stream: Path) -> None:
    assert run("transcode", stream, "low.nac", "-b", 2).code == 0
    result = run("transcode", "-", "-", "-b", 2, stdin=stream.read_bytes())
    assert result.stdout == Path("low.nac").read_bytes()


def test_folders(run: Run, sound: Sound) -> None:
    for name, channels in (("a", 1), ("deep/b", 2)):
        sound(f"in/{name}.wav", 0.5, channels=channels)
    assert run("encode", "-r", "in", "high", "--model", "small", "--jobs", 1).code == 0
    assert run("transcode", "-r", "high", "low", "-b", 1.5, "--jobs", 1).code == 0
    assert run("transcode", "high/deep/b.nac", "b.nac", "-b", 1.5).code == 0
    assert Path("b.nac").read_bytes() == Path("low/deep/b.nac").read_bytes()
    assert json.loads(run("info", "low/a.nac", "--json").stdout)["codebooks_per_frame"]["max"] == 4
    assert json.loads(run("info", "b.nac", "--json").stdout)["codebooks_per_frame"]["max"] == 2


def test_damage_stays_where_it_is_and_is_told(run: Run, stream: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[9] ^= 1
    data[len(data) // 2] ^= 1
    stream.write_bytes(data)
    result = run("transcode", stream, "low.nac", "-b", 1.5)
    assert result.code == 0
    assert "its header is damaged" in result.stderr
    assert "and low.nac is so too" in result.stderr
    report = json.loads(run("info", "low.nac", "--json").stdout)
    assert (report["seconds"], report["blocks"], report["damaged_blocks"]) == (5.0, 6, 1)
    assert run("transcode", "-", "b.nac", "-b", 1.5, stdin=bytes(data)).code == 1
    assert not Path("b.nac").exists()


def test_nothing_to_leave_out_is_told(run: Run, stream: Path) -> None:
    result = run("transcode", stream, "same.nac", "-b", 6.9)
    assert result.code == 0
    assert "none were left out" in result.stderr
    assert np.array_equal(sound_of(run, stream), sound_of(run, "same.nac"))


def test_a_signal_ends_a_live_stream_properly(run: Run, stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()

    def send(pipe: BinaryIO) -> None:
        pipe.write(data[: len(data) * 7 // 10])
        while not any(path.stat().st_size > 500 for path in tmp_path.glob(".*.part")):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        while not Path("low.nac").exists():
            pass

    result = run("transcode", "-", "low.nac", "-b", 1.5, stdin=send)
    assert result.code == 0
    assert "ended by SIGINT" in result.stderr
    assert "damaged" not in result.stderr
    assert 2.9 * 16000 < len(sound_of(run, "low.nac")) < 3.1 * 16000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "either --bitrate or --codebooks"),
        (["-b", 1, "--codebooks", 2], "either --bitrate or --codebooks"),
        (["-b", 0.34], "between 0.35 and 7 kbit/s"),
        (["-b", 7.1], "between 0.35 and 7 kbit/s"),
        (["-b", "nan"], "between 0.35 and 7 kbit/s"),
        (["--codebooks", 0], "can be kept, not 0"),
        (["--codebooks", 21], "can be kept, not 21"),
    ],
)
def test_values_out_of_range(run: Run, stream: Path, arguments: list[object], word: str) -> None:
    result = run("transcode", stream, "low.nac", *arguments)
    assert result.code == 2
    assert word in result.error
    assert not Path("low.nac").exists()


def test_what_cannot_be_transcoded(run: Run, sound: Sound, stream: Path, tmp_path: Path) -> None:
    additive = replace(SMALL, name="sum", bottleneck=BottleneckConfig("additive", 4, 16))
    save_model(small_model(0, additive), tmp_path / "sum")
    assert run("encode", sound("in.wav"), "sum.nac", "--model", "sum", "-b", 0.8).code == 0
    result = run("transcode", "sum.nac", "low.nac", "-b", 0.4, "--model", tmp_path / "sum")
    assert result.code == 1
    assert "of use only together" in result.error
    result = run("transcode", stream, "low.nac", "-b", 1, "--model", "other")
    assert result.code == 1
    assert "give the right checkpoint" in result.error
    result = run("transcode", "in.wav", "low.nac", "-b", 1)
    assert result.code == 1
    assert "is not a codec bitstream" in result.error
    result = run("transcode", stream, stream, "-b", 1, "--force")
    assert result.code == 2
    assert "IN itself" in result.error
    assert not Path("low.nac").exists()
