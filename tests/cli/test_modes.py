"""Rate modes, two passes and tags from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Result, Run, Sound

SMALL = ["--model", "small"]
TAGS = {"title": "Drei Sätze", "artist": "A. Reader", "date": "2021"}


@pytest.fixture
def speech(tmp_path: Path, rng: np.random.Generator) -> Path:
    """12 s of noise that comes and goes, with a second of silence."""
    pcm = 0.2 * rng.standard_normal(12 * 16000) * np.abs(np.sin(np.arange(12 * 16000) / 3000))
    pcm[80000:96000] = 0
    soundfile.write(tmp_path / "speech.wav", pcm, 16000)
    return tmp_path / "speech.wav"


def told(result: Result) -> dict[str, object]:
    assert result.code == 0, result.stderr
    report: dict[str, object] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize("two_pass", [[], ["--two-pass"]])
def test_abr_makes_files_of_the_bitrate(run: Run, speech: Path, two_pass: list[str]) -> None:
    report = told(run("encode", speech, "a.nac", *SMALL, "--mode", "abr", "-b", 3, "--json", *two_pass))
    size = Path("a.nac").stat().st_size
    assert 8 * size / 12000 == pytest.approx(3, rel=0.02)
    info = told(run("info", "a.nac", "--json"))
    for key in ("mode", "raw_index_bits", "payload_bits", "container_bits", "kbps", "codebooks"):
        assert info[key] == report[key], key
    assert info["codebooks_per_frame"] == pytest.approx(report["codebooks_per_frame"])
    assert info["mode"] == "abr"
    assert info["codebooks_per_frame"]["min"] < info["codebooks_per_frame"]["max"]
    # A pipe is kept for the second pass, and a file as standard input too.
    options = [*SMALL, "--mode", "abr", "-b", 3, *two_pass]
    assert run("encode", "-", "-", *options, stdin=speech.read_bytes()).stdout == Path("a.nac").read_bytes()
    assert run("decode", "a.nac", "a.wav", "--strict").code == 0
    assert soundfile.info("a.wav").frames == 12 * 16000


def test_two_passes_over_a_file_as_standard_input(start: object, run: Run, speech: Path) -> None:
    options = [*SMALL, "--mode", "abr", "-b", 2, "--two-pass", "-q"]
    assert run("encode", speech, "a.nac", *options).code == 0
    with open(speech, "rb") as file:
        program = start("encode", "-", "b.nac", *options, stdin=file)  # type: ignore[operator]
        assert program.wait(120) == 0
    assert Path("a.nac").read_bytes() == Path("b.nac").read_bytes()


def test_two_passes_keep_within_the_maximal_duration(run: Run, speech: Path) -> None:
    options = [*SMALL, "--mode", "abr", "-b", 2, "--two-pass", "--max-duration", 3]
    result = run("encode", "-", "a.nac", *options, stdin=speech.read_bytes()[:44] + bytes(2 * 16000 * 2))
    assert result.code == 1
    assert "--max-duration" in result.error
    raw = ["--raw", "--rate", 16000]
    result = run("encode", "-", "b.nac", *options, *raw, stdin=speech.read_bytes()[44:])
    assert result.code == 1
    assert "coded up to there" in result.error
    assert told(run("info", "b.nac", "--json"))["samples"] == 48000


@pytest.mark.parametrize("samples", [0, 1])
def test_two_passes_over_next_to_nothing(run: Run, sound: Sound, samples: int) -> None:
    source = sound("in.wav", samples / 16000)
    for name, stdin in ((source, None), ("-", source.read_bytes())):
        assert (
            run("encode", name, "a.nac", *SMALL, "--mode", "abr", "--two-pass", "-f", stdin=stdin).code == 0
        )
        assert told(run("info", "a.nac", "--json"))["samples"] == samples


def test_vbr_follows_the_quality_and_keeps_within_the_highest_bitrate(run: Run, speech: Path) -> None:
    sizes = []
    for quality in (0, 5, 10):
        command = ["encode", speech, "a.nac", *SMALL, "--mode", "vbr", "--quality", quality, "-f", "--json"]
        report = told(run(*command))
        sizes.append(report["payload_bits"])
        assert report["mode"] == "vbr"
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
    capped = told(run(*command, "--max-bitrate", 2))
    assert capped["kbps"] <= 2.0
    result = run(*command[:-1])
    assert "vbr of " in result.stderr
    assert run("decode", "a.nac", "a.wav", "--strict").code == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--mode", "vbr", "--quality", -0.1], "0"),
        (["--mode", "vbr", "--quality", 10.1], "10"),
        (["--mode", "vbr", "--quality", "nan"], "10"),
        (["--mode", "vbr", "-b", 3], "vbr"),
        (["--quality", 3], "vbr"),
        (["--mode", "abr", "-b", 0.34], "between 0.35 and 7 kbit/s"),
        (["--mode", "abr", "-b", 7.1], "between 0.35 and 7 kbit/s"),
        (["--mode", "abr", "--codebooks", 3], "cbr"),
        (["--mode", "abr", "-b", 3, "--max-bitrate", 2], "2"),
        (["--mode", "vbr", "--max-bitrate", 0.1], "between 0.35 and 7 kbit/s"),
        (["--mode", "best"], "--mode"),
        (["--two-pass"], "--mode abr"),
        (["--two-pass", "--mode", "vbr"], "--mode abr"),
        (["--two-pass", "--mode", "abr", "-b", 99], "between 0.35 and 7 kbit/s"),
        (["--packet-ms", 19.9], "20 to 10000 ms"),
        (["--packet-ms", 10000.1], "20 to 10000 ms"),
        (["--packet-ms", "nan"], "20 to 10000 ms"),
        (["--two-pass", "--mode", "abr", "--packet-ms", 1], "20 to 10000 ms"),
    ],
)
def test_values_out_of_range_and_options_that_do_not_go_together(
    run: Run, sound: Sound, arguments: list[object], word: str
) -> None:
    result = run("encode", sound("in.wav", 0.1), "a.nac", *SMALL, *arguments)
    assert result.code == 2
    assert word in result.error
    assert not Path("a.nac").exists()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_tags_go_along_and_come_back(run: Run, suffix: str) -> None:
    with soundfile.SoundFile(f"in{suffix}", "w", 48000, 1) as file:
        for key, value in TAGS.items():
            setattr(file, key, value)
        file.write(np.zeros(4800))
    assert run("encode", f"in{suffix}", "a.nac", *SMALL).code == 0
    assert told(run("info", "a.nac", "--json"))["tags"] == TAGS
    lines = run("info", "a.nac").stdout.decode().splitlines()
    assert "  title       Drei Sätze" in lines
    data = Path(f"in{suffix}").read_bytes()
    assert run("encode", "-", "-", *SMALL, stdin=data).stdout == Path("a.nac").read_bytes()
    back = f"out{suffix}"
    assert run("decode", "a.nac", back).code == 0
    with soundfile.SoundFile(back) as file:
        assert {key: getattr(file, key) for key in TAGS} == TAGS
    assert run("transcode", "a.nac", "b.nac", "-b", 1).code == 0
    assert told(run("info", "b.nac", "--json"))["tags"] == TAGS
