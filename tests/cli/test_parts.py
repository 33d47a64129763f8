"""Parts of a stream by time, and simulated losses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Run, Sound


def pcm_of(path: str | Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16", always_2d=True)[0]


@pytest.fixture
def long_stream(run: Run, sound: Sound) -> str:
    """70 s at 22,050 Hz, in blocks of half a second, and its whole sound in `whole.wav`."""
    source = sound("long.wav", 70.0, 22050, 2)
    assert run("encode", source, "long.nac", "--model", "small", "-b", 1.4, "--packet-ms", 500).code == 0
    assert run("decode", "long.nac", "whole.wav").code == 0
    return "long.nac"


@pytest.mark.parametrize(
    ("arguments", "start", "stop"),
    [
        (["--start", "1:05", "--duration", "2.5"], 65, 67.5),
        (["--start", "68.25"], 68.25, 70),
        (["--duration", "0:01"], 0, 1),
        (["--start", "0", "--duration", "1000:00:00"], 0, 70),
        (["--start", "69.5", "--duration", "5"], 69.5, 70),
        (["--start", "3", "--duration", "0"], 3, 3),
    ],
)
def test_a_part_is_that_part_of_the_whole(
    run: Run, long_stream: str, arguments: list[str], start: float, stop: float
) -> None:
    result = run("decode", long_stream, "part.wav", "--json", *arguments)
    assert (result.code, result.stderr) == (0, "")
    expected = pcm_of("whole.wav")[round(start * 22050) : round(stop * 22050)]
    np.testing.assert_array_equal(pcm_of("part.wav"), expected)
    report = json.loads(result.stdout)
    assert (report["samples"], report["start_seconds"], report["payload_bits"]) == (
        len(expected),
        start,
        None,
    )
    assert report["warnings"] == []


def test_damage_elsewhere_is_not_told(run: Run, long_stream: str) -> None:
    data = bytearray(Path(long_stream).read_bytes())
    data[len(data) // 2] ^= 1
    Path("damaged.nac").write_bytes(data)
    assert run("decode", "damaged.nac", "a.wav", "--start", 60, "--strict").code == 0
    np.testing.assert_array_equal(pcm_of("a.wav"), pcm_of("whole.wav")[60 * 22050 :])
    result = run("decode", "damaged.nac", "b.wav", "--start", 30, "--duration", 10, "--report", "b.json")
    assert result.code == 0
    assert "damaged.nac is damaged in 1 place" in result.stderr
    assert "from 30.00 s on" in result.stderr
    (span,) = json.loads(Path("b.json").read_text())["damage"]
    assert 34 < span["start_seconds"] < 36
    assert run("decode", "damaged.nac", "c.wav", "--start", 30, "--duration", 10, "--strict").code == 1


def test_a_part_of_a_file_whose_header_is_damaged(run: Run, long_stream: str) -> None:
    data = bytearray(Path(long_stream).read_bytes())
    data[12] ^= 1
    Path("damaged.nac").write_bytes(data)
    result = run("decode", "damaged.nac", "a.wav", "--start", 60)
    assert result.code == 0
    assert "its header is damaged" in result.stderr
    np.testing.assert_array_equal(pcm_of("a.wav"), pcm_of("whole.wav")[60 * 22050 :])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--start", "1:60"], "--start takes seconds or"),
        (["--start", "-1"], "--start takes seconds or"),
        (["--duration", "nan"], "--duration takes seconds or"),
        (["--start", "5.0"], "ends before --start, 5.00 s"),
        (["--start", "1:00:00"], "ends before --start, 1:00:00.00"),
        (["--start", "1", "--loss", "10%"], "--loss plays the whole stream"),
        (["--start", "1", "-r"], "leave -r out"),
        (["--duration", "1", "-r"], "leave -r out"),
    ],
)
def test_parts_that_cannot_be_decoded(run: Run, stream: Path, arguments: list[str], word: str) -> None:
    result = run("decode", stream, "out.wav", *arguments)
    assert result.code == 2
    assert word in result.error
    assert not Path("out.wav").exists()


def test_a_pipe_has_no_parts(run: Run, stream: Path) -> None:
    result = run("decode", "-", "out.wav", "--start", 1, stdin=stream.read_bytes())
    assert result.code == 2
    assert "standard input is a pipe" in result.error


def test_simulated_loss_costs_blocks_and_is_told(run: Run, stream: Path) -> None:
    assert run("decode", stream, "whole.wav").code == 0
    Path("losses.txt").write_text("0.1. # the third of four\n")
    result = run("decode", stream, "lossy.wav", "--loss", "losses.txt", "--report", "lossy.json")
    assert result.code == 0
    assert "1.00 s were concealed" in result.stderr
    (span,) = json.loads(Path("lossy.json").read_text())["damage"]
    assert (span["frames"], span["start_seconds"]) == (50, 1.98)
    whole, lossy = pcm_of("whole.wav"), pcm_of("lossy.wav")
    assert len(whole) == len(lossy)
    np.testing.assert_array_equal(whole[: int(1.9 * 16000)], lossy[: int(1.9 * 16000)])
    assert not np.array_equal(whole[2 * 16000 : 3 * 16000], lossy[2 * 16000 : 3 * 16000])
    assert run("decode", stream, "strict.wav", "--loss", "losses.txt", "--strict").code == 1


def test_the_seed_chooses_the_losses(run: Run, sound: Sound) -> None:
    source = sound("in.wav", 5.0)
    assert run("encode", source, "a.nac", "--model", "small", "--packet-ms", 20).code == 0
    assert run("decode", "a.nac", "whole.wav").code == 0
    lost = {}
    for name, loss, seed in (("a", "10%", 1), ("b", "0.1", 1), ("c", "10%", 2), ("d", "10%:4", 1)):
        arguments = ["--loss", loss, "--loss-seed", seed, "--report", f"{name}.json"]
        assert run("decode", "a.nac", f"{name}.wav", *arguments).code == 0
        lost[name] = json.loads(Path(f"{name}.json").read_text())
        # 251 packets; bursts scatter more.
        assert 3 <= lost[name]["damaged_frames"] <= 80
        assert len(pcm_of(f"{name}.wav")) == 5 * 16000
    assert lost["a"]["damage"] == lost["b"]["damage"] != lost["c"]["damage"]
    assert run("decode", "a.nac", "none.wav", "--loss", 0, "--strict").code == 0
    np.testing.assert_array_equal(pcm_of("none.wav"), pcm_of("whole.wav"))
    assert run("decode", "a.nac", "-", "--loss", "100%", stdin=b"").code == 0


@pytest.mark.parametrize(
    ("loss", "code", "word"),
    [
        ("101%", 2, "0..1"),
        ("-0.1", 2, "0..1"),
        ("nan", 2, "0..1"),
        ("10%:0", 2, "burst"),
        ("missing.txt", 1, "missing.txt"),
        ("stream.wav", 1, "stream.wav"),
    ],
)
def test_losses_that_cannot_be_simulated(run: Run, stream: Path, loss: str, code: int, word: str) -> None:
    result = run("decode", stream, "out.wav", f"--loss={loss}")
    assert result.code == code
    assert word in result.error
    assert not Path("out.wav").exists()
