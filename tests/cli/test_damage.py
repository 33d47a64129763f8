"""Damaged input that is worked with as far as it goes, and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Run, Sound


def test_a_truncated_wav_is_coded_as_far_as_it_goes(run: Run, sound: Sound) -> None:
    source = sound("in.wav", 2.0)
    # One and a half samples before 1.5 s.
    data = source.read_bytes()[: 44 + 2 * 24000 - 3]
    source.write_bytes(data)
    for name, stdin in (("in.wav", None), ("-", data)):
        result = run("encode", name, "a.nac", "--model", "small", "--force", stdin=stdin)
        assert result.code == 0
        assert "codec: warning: " in result.stderr
        assert "is cut" in result.stderr
        assert json.loads(run("info", "a.nac", "--json").stdout)["samples"] == 24000 - 2


def test_a_truncated_flac_is_coded_as_far_as_it_goes(run: Run, sound: Sound) -> None:
    source = sound("in.flac", 2.0)
    source.write_bytes(source.read_bytes()[:30000])
    result = run("encode", source, "a.nac", "--model", "small", "--json")
    assert result.code == 0
    report = json.loads(result.stdout)
    assert 0.5 < report["seconds"] < 2
    assert "is cut or damaged" in report["warnings"][0]


def test_every_kind_of_flipped_byte_is_refused_or_told(
    run: Run, stream: Path, rng: np.random.Generator
) -> None:
    data = stream.read_bytes()
    header_bytes = 7 + 2 + len("small") + 24 + 4
    places = [*range(0, header_bytes, 5), *rng.integers(header_bytes, len(data), 20), len(data) - 1]
    for place in map(int, places):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        Path("damaged.nac").write_bytes(damaged)
        result = run("decode", "damaged.nac", "out.wav", "--force")
        assert result.code == 0
        if place < header_bytes:
            assert "damaged.nac: its header is damaged, and was read from the copy" in result.stderr
            assert run("decode", "-", "-", stdin=bytes(damaged)).code == 1
        assert "codec: warning: damaged.nac is damaged" in result.stderr, place
        # The clock stays right, and what is far from the damage is as before.
        assert abs(soundfile.info("out.wav").frames - 80000) <= 640
        assert run("info", "damaged.nac").stderr.startswith("codec: warning: damaged.nac: ")


def test_a_cut_anywhere_is_refused_or_told(run: Run, stream: Path, rng: np.random.Generator) -> None:
    data = stream.read_bytes()
    header_bytes = 7 + 2 + len("small") + 24 + 4
    for length in [
        1,
        4,
        header_bytes - 1,
        header_bytes,
        *map(int, rng.integers(header_bytes, len(data), 12)),
    ]:
        Path("cut.nac").write_bytes(data[:length])
        result = run("decode", "cut.nac", "out.wav", "--force")
        if length < header_bytes:
            assert result.code == 1
            assert "ends inside its header" in result.error
            continue
        assert result.code == 0
        assert "codec: warning: cut.nac is damaged" in result.stderr
        # What is whole is heard, and may be followed by the concealment of what is not.
        report = json.loads(run("info", "cut.nac", "--json").stdout)
        whole = report["blocks"] - report["damaged_blocks"]
        assert soundfile.info("out.wav").frames >= min(16000 * whole - 320, 80000)
        assert "footer" in report["warnings"][-1]


def test_damage_is_concealed_where_it_is_and_listed(run: Run, stream: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 1
    Path("damaged.nac").write_bytes(data)
    assert run("decode", stream, "good.wav").code == 0
    result = run("decode", "damaged.nac", "bad.wav", "--json")
    assert result.code == 0
    report = json.loads(result.stdout)
    assert [(span["start_seconds"], span["seconds"]) for span in report["damage"]] == [(1.98, 1.0)]
    assert "1.00 s were concealed" in report["warnings"][0]
    good, _ = soundfile.read("good.wav", dtype="int16")
    bad, _ = soundfile.read("bad.wav", dtype="int16")
    assert len(good) == len(bad) == 80000
    np.testing.assert_array_equal(good[: 2 * 16000 - 320], bad[: 2 * 16000 - 320])
    np.testing.assert_array_equal(good[4 * 16000 :], bad[4 * 16000 :])
    report = json.loads(run("info", "damaged.nac", "--json").stdout)
    assert (report["seconds"], report["damaged_blocks"]) == (5.0, 1)


def test_strict_decoding_of_damage_writes_nothing(run: Run, stream: Path) -> None:
    assert run("decode", stream, "whole.wav", "--strict").code == 0
    data = stream.read_bytes()
    for damaged in (data[:-1], data[: len(data) // 2], data[:200] + bytes([data[200] ^ 1]) + data[201:]):
        Path("damaged.nac").write_bytes(damaged)
        result = run("decode", "damaged.nac", "out.wav", "--strict")
        assert result.code == 1
        assert "--strict" in result.error
        assert not Path("out.wav").exists()


def test_a_damaged_header_is_repaired_in_a_file_and_refused_in_a_pipe(run: Run, stream: Path) -> None:
    assert run("decode", stream, "good.wav").code == 0
    data = bytearray(stream.read_bytes())
    data[20] ^= 4
    Path("damaged.nac").write_bytes(data)
    assert run("decode", "damaged.nac", "out.wav").code == 0
    assert Path("out.wav").read_bytes() == Path("good.wav").read_bytes()
    assert run("decode", "damaged.nac", "strict.wav", "--strict").code == 1
    result = run("decode", "-", "-", stdin=bytes(data))
    assert (result.code, result.stdout) == (1, b"")
    assert "standard input" in result.error
    # Neither the header nor its copy.
    data[-30] ^= 4
    Path("damaged.nac").write_bytes(data)
    for command in (["decode", "damaged.nac", "b.wav"], ["info", "damaged.nac"]):
        result = run(*command)
        assert result.code == 1
        assert "damaged.nac" in result.error
    assert not Path("b.wav").exists()


def test_damage_is_listed_in_a_file(run: Run, stream: Path) -> None:
    assert run("decode", stream, "good.wav", "--report", "good.json").code == 0
    expected = {"input": str(stream), "seconds": 5.0, "header_repaired": False, "places": 0, "damage": []}
    assert json.loads(Path("good.json").read_text()).items() >= expected.items()
    data = bytearray(stream.read_bytes())
    for place in (len(data) * 2 // 5, len(data) * 4 // 5):
        data[place] ^= 1
    Path("damaged.nac").write_bytes(data)
    assert run("decode", "damaged.nac", "bad.wav", "--report", "bad.json").code == 0
    report = json.loads(Path("bad.json").read_text())
    assert [(span["start_seconds"], span["frames"]) for span in report["damage"]] == [(1.98, 50), (3.98, 50)]
    assert (report["damaged_seconds"], report["damaged_frames"], report["places"]) == (2.0, 100, 2)
    assert all(span["reason"] for span in report["damage"])
    # It replaces nothing without --force; and it lists everything also where the sound is refused.
    result = run("decode", "damaged.nac", "other.wav", "--report", "bad.json")
    assert result.code == 2
    assert "bad.json exists already" in result.error
    result = run("decode", "damaged.nac", "other.wav", "--report", "strict.json", "--strict")
    assert result.code == 1
    assert "--strict" in result.error
    assert not Path("other.wav").exists()
    assert json.loads(Path("strict.json").read_text()) == report
    # No sound, no report.
    assert run("decode", "damaged.nac", "no.xyz", "--report", "no.json").code == 2
    assert not Path("no.json").exists()


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--report", "-"], "--json"), (["--report", "a.json", "-r"], "-r")]
)
def test_reports_that_cannot_be_written(run: Run, stream: Path, arguments: list[str], word: str) -> None:
    result = run("decode", stream, "out.wav", *arguments)
    assert result.code == 2
    assert word in result.error


def test_bytes_after_the_end_are_told(run: Run, stream: Path) -> None:
    stream.write_bytes(stream.read_bytes() + b"more")
    result = run("decode", stream, "out.wav")
    assert result.code == 0
    assert "4 bytes after the footer" in result.stderr
    assert soundfile.info("out.wav").frames == 80000


@pytest.mark.parametrize("samples", [0, 1])
def test_sound_of_no_or_one_sample(run: Run, sound: Sound, samples: int) -> None:
    source = sound("in.wav", samples / 16000)
    result = run("encode", source, "a.nac", "--model", "small")
    assert result.code == 0
    assert "warning" not in result.stderr
    result = run("decode", "a.nac", "out.wav")
    assert result.code == 0
    assert "warning" not in result.stderr
    assert soundfile.info("out.wav").frames == samples
    assert json.loads(run("info", "a.nac", "--json").stdout)["samples"] == samples
    assert f"{samples} sample" in run("info", "a.nac").stdout.decode()
