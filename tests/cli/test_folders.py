"""Whole folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile

from codec.cli import batch
from codec.cli.console import Console
from codec.cli.folders import plan
from tests.cli.conftest import Run, Sound


def tree(folder: str) -> list[str]:
    """The files below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


def test_a_tree_is_mirrored_both_ways(run: Run, sound: Sound) -> None:
    sound("in/a.wav", 0.5)
    sound("in/deep/er/b.flac", 0.3, 48000, 2)
    sound("in/deep/C.WAV", 0.2)
    Path("in/notes.txt").write_text("no sound")
    result = run("encode", "-r", "in", "out", "--model", "small", "--jobs", 1)
    assert result.code == 0
    assert tree("out") == ["a.nac", "deep/C.nac", "deep/er/b.nac"]
    assert "3 files done, 0 failed" in result.stderr
    # The same bytes as one by one.
    assert run("encode", "in/deep/er/b.flac", "b.nac", "--model", "small").code == 0
    assert Path("b.nac").read_bytes() == Path("out/deep/er/b.nac").read_bytes()
    result = run("decode", "--recursive", "out", "back", "--jobs", 1, "--json")
    assert result.code == 0
    report = json.loads(result.stdout)
    assert [file["output"] for file in report["files"]] == [f"back/{name}" for name in tree("back")]
    assert report["seconds"] == pytest.approx(1.0)
    assert soundfile.info("back/deep/er/b.wav").samplerate == 48000


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_that_fail_are_listed_and_the_others_done(run: Run, sound: Sound, jobs: int) -> None:
    sound("in/a.wav", 0.2)
    sound("in/z.wav", 0.2)
    Path("in/empty.wav").touch()
    Path("in/text.wav").write_text("Four score and seven years ago")
    result = run("encode", "-r", "in", "out", "--model", "small", "--jobs", jobs)
    assert result.code == 1
    assert tree("out") == ["a.nac", "z.nac"]
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("codec: error: in/empty.wav is empty")
    assert lines[1].startswith("codec: error: in/text.wav is no sound")
    assert "2 files done, 2 failed" in lines[2]
    assert run("encode", "in/a.wav", "a.nac", "--model", "small").code == 0
    assert Path("a.nac").read_bytes() == Path("out/a.nac").read_bytes()


def test_a_second_run_replaces_nothing_without_force(run: Run, sound: Sound) -> None:
    sound("in/a.wav", 0.2)
    command = ["encode", "-r", "in", "out", "--model", "small", "--jobs", 1]
    assert run(*command).code == 0
    sound("in/b.wav", 0.2)
    result = run(*command, "--json")
    assert result.code == 1
    report = json.loads(result.stdout)
    assert [file["input"] for file in report["files"]] == ["in/b.wav"]
    assert [failure["input"] for failure in report["failed"]] == ["in/a.wav"]
    assert "--force" in report["failed"][0]["error"]
    assert run(*command, "--force").code == 0


def test_two_files_for_one_place(run: Run, sound: Sound) -> None:
    sound("in/a.flac", 0.1)
    sound("in/a.wav", 0.2)
    result = run("encode", "-r", "in", "out", "--model", "small", "--jobs", 1)
    assert result.code == 1
    assert "in/a.wav: in/a.flac becomes out/a.nac too" in result.stderr
    assert json.loads(run("info", "out/a.nac", "--json").stdout)["seconds"] == pytest.approx(0.1)


def test_links_out_of_the_input_are_not_followed(run: Run, sound: Sound) -> None:
    sound("in/a.wav", 0.1)
    outside = sound("outside/secret.wav", 0.1)
    Path("in/file.wav").symlink_to(outside)
    Path("in/folder").symlink_to(outside.parent)
    Path("in/loop").symlink_to(Path("in").resolve())
    Path("in/inside.wav").symlink_to("a.wav")
    result = run("encode", "-r", "in", "out", "--model", "small", "--jobs", 1)
    assert result.code == 0
    assert tree("out") == ["a.nac", "inside.nac"]
    for name in ("file.wav", "folder", "loop"):
        assert f"in/{name} is a link that leads elsewhere: not followed" in result.stderr


def test_links_out_of_the_output_are_not_followed(run: Run, sound: Sound) -> None:
    sound("in/a.wav", 0.1)
    sound("in/deep/b.wav", 0.1)
    sound("in/deep/er/c.wav", 0.1)
    Path("outside").mkdir()
    Path("outside/kept.nac").write_text("precious")
    Path("out").mkdir()
    Path("out/deep").symlink_to(Path("outside").resolve())
    Path("out/a.nac").symlink_to(Path("outside/kept.nac").resolve())
    result = run("encode", "-r", "in", "out", "--model", "small", "--jobs", 1, "--force")
    assert result.code == 1
    assert tree("outside") == ["kept.nac"]
    assert Path("outside/kept.nac").read_text() == "precious"
    # The link to a file was replaced by a file of its own.
    assert not Path("out/a.nac").is_symlink()
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 2
    assert all("leads outside of out" in line for line in errors)


def test_an_output_folder_may_itself_be_a_link(run: Run, sound: Sound) -> None:
    sound("in/deep/a.wav", 0.1)
    Path("real").mkdir()
    Path("out").symlink_to("real")
    assert run("encode", "-r", "in", "out", "--model", "small", "--jobs", 1).code == 0
    assert tree("real") == ["deep/a.nac"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["in/a.wav", "out"], 2, "in/a.wav is no folder"),
        (["missing", "out"], 2, "missing is no folder"),
        (["-", "out"], 2, "- is no folder"),
        (["in", "in/a.wav"], 2, "OUT is a folder"),
        (["empty", "out"], 1, "empty holds no files"),
        (["in", "out", "--model", "nonesuch"], 1, "no model nonesuch"),
    ],
)
def test_folders_that_cannot_be_coded(
    run: Run, sound: Sound, arguments: list[str], code: int, word: str
) -> None:
    sound("in/a.wav", 0.1)
    Path("empty").mkdir()
    result = run("encode", "-r", "--model", "small", *arguments)
    assert result.code == code
    assert word in result.error
    assert not Path("out").exists()


def test_a_worker_that_is_killed_is_a_failed_file(sound: Sound) -> None:
    sound("in/a.wav", 0.1)
    sound("in/b.wav", 0.1)
    todo = plan("in", "out", (".wav",), ".nac")
    outcomes = batch.run(_die, todo, 2, Console(quiet=True))
    assert [outcome.job.source for outcome in outcomes] == ["in/a.wav", "in/b.wav"]
    assert all("ended from outside" in (outcome.error or "") for outcome in outcomes)


def _die(job: object) -> object:
    os.kill(os.getpid(), 9)
    return job
