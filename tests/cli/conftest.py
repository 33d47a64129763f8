"""The real command line on a tiny model, run in this process or as a program."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile

from codec.checkpoint import save_model
from codec.cli.main import main
from codec.config import BottleneckConfig
from tests.small_model import SMALL, small_model

# 20 codebooks of 0.35 kbit/s: enough for the default of 6 kbit/s.
TWENTY = BottleneckConfig(num_codebooks=20, codebook_size=128)


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def error(self) -> str:
        """The one line that a command which failed has printed."""
        assert self.code != 0
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("codec: error: ")
        return lines[0]


Feed = Callable[[BinaryIO], None]
Run = Callable[..., Result]
Sound = Callable[..., Path]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models: `small`, and `other` of another name and other weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for seed, name in enumerate(["small", "other"]):
        config = replace(SMALL, name=name, bottleneck=TWENTY)
        save_model(small_model(seed, config), folder / name)
    return folder


@pytest.fixture(autouse=True)
def _environment(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the models and run where nothing but the files of the test lies."""
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(checkpoints))
    monkeypatch.delenv("CODEC_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run("encode", IN, OUT, ...)` in this process.

    `stdin` is sent through a pipe: bytes, or a function that writes them to a file. Whatever the command, it
    must leave neither a traceback nor a temporary file.
    """

    def run_here(*arguments: object, stdin: bytes | Feed | None = None) -> Result:
        capfdbinary.readouterr()
        with _stdin(stdin, monkeypatch):
            code = main([str(argument) for argument in arguments])
        stdout, stderr = capfdbinary.readouterr()
        assert b"Traceback" not in stderr
        assert not list(tmp_path.rglob("*.part"))
        return Result(code, stdout, stderr.decode())

    return run_here


@contextmanager
def _stdin(source: bytes | Feed | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if source is None:
        yield
        return
    reading, writing = os.pipe()

    def feed() -> None:
        with open(writing, "wb", buffering=0) as pipe:
            if isinstance(source, bytes):
                pipe.write(source)
            else:
                source(pipe)

    feeder = threading.Thread(target=feed)
    before = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    monkeypatch.setattr(sys, "stdin", open(0, closefd=False))  # noqa: SIM115
    feeder.start()
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        feeder.join(10)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`start("encode", ...)` runs a command as a program, with pipes at its ends; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_program(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "codec", *map(str, arguments)]
        # Not the folder of the test: there, `codec` would not be found.
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        started.append(subprocess.Popen(command, env=environment, **options))
        return started[-1]

    yield start_program
    for program in started:
        program.kill()
        program.wait()
        for pipe in (program.stdin, program.stdout, program.stderr):
            # What a killed program never read cannot be flushed.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def sound(tmp_path: Path, rng: np.random.Generator) -> Sound:
    """`sound("a.wav", seconds=1.0, rate=16000, channels=1)` writes noise and returns the path."""

    def write(
        name: str, seconds: float = 1.0, rate: int = 16000, channels: int = 1, subtype: str | None = None
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pcm = 0.1 * rng.standard_normal((round(seconds * rate), channels))
        soundfile.write(path, pcm, rate, subtype)
        return path

    return write


@pytest.fixture
def stream(sound: Sound, run: Run, tmp_path: Path) -> Path:
    """The bitstream of 5 s of noise, in blocks of 1 s."""
    source = sound("stream.wav", 5.0)
    result = run("encode", source, tmp_path / "stream.nac", "--model", "small", "--packet-ms", 1000)
    assert result.code == 0
    return tmp_path / "stream.nac"
