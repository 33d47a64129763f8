"""The front names load nothing heavy, and `codec --help` is quick because of it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

import codec

HEAVY = (
    "torch",
    "lightning",
    "pytorch_lightning",
    "torchaudio",
    "librosa",
    "soundfile",
    "matplotlib",
    "scipy",
)


def _heavy_after(statements: str) -> list[str]:
    """The heavy packages that a fresh interpreter holds after these statements."""
    report = f"import sys; print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{statements}\n{report}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr.split()


def test_import_codec_loads_nothing_heavy() -> None:
    assert _heavy_after("import codec; codec.__version__; dir(codec)") == []


def test_the_check_itself_sees_a_heavy_import() -> None:
    assert "soundfile" in _heavy_after("import soundfile")


@pytest.mark.skipif(importlib.util.find_spec("codec.cli") is None, reason="the command line is not there")
@pytest.mark.parametrize("arguments", [["--help"], ["encode", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    run = f"""
import sys
from codec.cli.main import main
sys.argv = ["codec", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert _heavy_after(run) == []


def test_lazy_names_are_listed_and_unknown_ones_refused() -> None:
    assert {"Codec", "StreamEncoder", "StreamDecoder"} <= set(dir(codec))
    with pytest.raises(AttributeError, match="no_such_name"):
        codec.no_such_name  # noqa: B018


@pytest.mark.skipif(importlib.util.find_spec("codec.api") is None, reason="the front door is not there")
def test_lazy_names_are_the_classes() -> None:
    from codec.api import Codec
    from codec.streaming import StreamDecoder, StreamEncoder

    assert (codec.Codec, codec.StreamDecoder, codec.StreamEncoder) == (Codec, StreamDecoder, StreamEncoder)
