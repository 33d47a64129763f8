"""The wheel is complete and works from another place; every dependency has one exact version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = sorted(path.parent.name for path in (ROOT / "checkpoints").glob("*/model.safetensors"))
CLIP = ROOT / "tests" / "data" / "clips" / "4441-76250-0000.flac"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(ROOT),
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("codec-*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked as an installer does, with nothing of the working tree around."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(folder: Path, code: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "CODEC_CHECKPOINTS"}
    environment["PYTHONPATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_holds_code_types_licence_and_checkpoints_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"codec/__init__.py", "codec/py.typed", "codec/checkpoints/README.md"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {
        "codec",
        next(n for n in names if "METADATA" in n).split("/")[0],
    }
    for name in CHECKPOINTS:
        assert f"codec/checkpoints/{name}/model.safetensors" in names


def test_version_is_one(installed: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert run_installed(installed, "import codec; print(codec.__version__)") == project["version"]


def test_installed_package_is_the_one_that_runs(installed: Path) -> None:
    assert run_installed(installed, "import codec; print(codec.__file__)").startswith(str(installed))


@pytest.mark.skipif(not CHECKPOINTS, reason="no trained checkpoint is there")
def test_installed_elsewhere_it_encodes_and_decodes(installed: Path) -> None:
    code = f"""
import soundfile
from codec import Codec
audio, rate = soundfile.read({str(CLIP)!r}, dtype="float32")
codec = Codec.load({CHECKPOINTS[0]!r})
data = codec.encode(audio, rate, bitrate=3.0)
decoded, decoded_rate = codec.decode(data)
print(decoded_rate == rate, decoded.shape == audio.shape, len(data) < len(audio) // 20)
"""
    assert run_installed(installed, code) == "True True True"


def test_every_dependency_has_an_exact_version_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        matched = re.fullmatch(r"([A-Za-z0-9-]+)(?:\[\w+\])?>=([0-9.]+)", requirement)
        assert matched, f"{requirement}: a lower bound, and no other"
        name, lowest = matched.groups()
        assert as_tuple(pins[name.lower()]) >= as_tuple(lowest), requirement


def as_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
