"""A tiny untrained checkpoint and a few clips, to run the tools on in seconds."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from codec.checkpoint import save_model
from codec.config import BottleneckConfig, CodecConfig, SpectralConfig
from codec.model import CodecModel

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_RATE = 16_000


class Outcome(NamedTuple):
    """What a run of a command line left."""

    exit_code: int
    stdout: str
    stderr: str


def run_tool(name: str, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
    """Run a tool in a fresh process, as the Makefile does."""
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    return Outcome(result.returncode, result.stdout, result.stderr)


def load_tool(name: str) -> ModuleType:
    """The module of a tool."""
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), ROOT / "tools" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_tool(name: str, *arguments: str | Path) -> Outcome:
    """Run a tool's command line in this process, which spares loading torch once more."""
    app = typer.Typer()
    app.command()(load_tool(name).main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = SpectralConfig(width=16, blocks=1)
    bottleneck = BottleneckConfig(num_codebooks=12)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_model(CodecModel(CodecConfig(name="tiny", dim=8, network=network, bottleneck=bottleneck)), folder)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for name, pitch in (("one", 110.0), ("two <b>&", 190.0)):
        voice = sum(np.sin(2 * np.pi * pitch * k * time + k * k) / k for k in range(1, 30))
        audio = 0.1 * np.clip(np.sin(2 * np.pi * 2.0 * time), 0.0, None) * voice
        soundfile.write(folder / f"{name}.flac", audio, SAMPLE_RATE)
    return folder
