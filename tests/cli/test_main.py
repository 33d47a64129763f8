from __future__ import annotations

import pytest

import codec
import codec.cli.info
from tests.cli.conftest import Run


def test_version(run: Run) -> None:
    assert run("--version").stdout.decode() == f"codec {codec.__version__}\n"


@pytest.mark.parametrize("verb", [[], ["encode"], ["decode"], ["transcode"], ["info"]])
def test_help_names_every_verb_and_option(run: Run, verb: list[str]) -> None:
    result = run(*verb, "--help")
    assert result.code == 0
    expected = {
        "encode": ["--bitrate", "--codebooks", "--recursive", "--force", "--json", "--quiet", "--raw", "143"],
        "decode": [
            "--subtype",
            "--strict",
            "--report",
            "--start",
            "--duration",
            "--loss",
            "--recursive",
            "--model",
            "--raw",
            "143",
        ],
        "transcode": ["--bitrate", "--codebooks", "--recursive"],
        "info": ["--json"],
    }
    for word in expected[verb[0]] if verb else expected:
        assert word in result.stdout.decode()


def test_without_a_verb_the_help_is_shown(run: Run) -> None:
    result = run()
    assert result.code == 2
    assert b"encode" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recode"], "recode"),
        (["encode"], "IN"),
        (["encode", "in.wav"], "OUT"),
        (["encode", "in.wav", "out.nac", "--bitrte", "3"], "--bitrte"),
        (["encode", "in.wav", "out.nac", "--bitrate", "many"], "--bitrate"),
        (["encode", "in.wav", "out.nac", "--jobs", "0"], "--jobs"),
        (["info", "a.nac", "b.nac"], "b.nac"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_leads_to_the_help(
    run: Run, arguments: list[str], words: str
) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert words in result.error
    assert "--help'" in result.error


def test_an_unexpected_exception_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(codec.cli.info, "open_input", fail)
    result = run("info", "a.nac")
    assert result.code == 1
    assert "report" in result.error
    assert "lost" in result.error


def test_debugging_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from codec.cli.main import main

    monkeypatch.setenv("CODEC_DEBUG", "1")
    assert main(["info", "missing.nac"]) == 1
    shown = capfd.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("codec: error: missing.nac")


def test_names_cannot_steer_the_terminal(run: Run) -> None:
    assert "a\\x1b[2J b.nac" in run("info", "a\x1b[2J\nb.nac").error
