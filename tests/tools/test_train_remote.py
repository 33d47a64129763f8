"""A training on a lent machine, from the plan to the model that comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from codec.checkpoint import load_model, save_model
from codec.config import to_mapping
from codec.model import CodecModel
from codec.training.data import DataConfig
from codec.training.state import read_state
from tests.tools.conftest import ROOT, call_tool, run_tool
from tests.training.sounds import write_folder
from tests.training.tiny import tiny_recipe

MIB = 2**20
# What such a machine lacks; python3 there begins with this.
LACKS = """
import sys
from importlib.machinery import PathFinder

class Lacking:
    @staticmethod
    def find_spec(name, path=None, target=None):
        missing = name.partition(".")[0] in {"librosa", "pesq", "pystoi"}
        return None if missing else PathFinder.find_spec(name, path, target)

sys.meta_path = [Lacking if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with what git tracks here but the weights, a small recipe and a model of it."""
    folder = tmp_path / "here"
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard", "codec", "tools", "constraints.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    recipe = tiny_recipe(max_minutes=9.0, data=DataConfig(0.1, 3, on_device=True))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(to_mapping(recipe)))
    save_model(CodecModel(recipe.model), folder / "start")
    (folder / ".gitignore").write_text(".remote/\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def _plan(checkout: Path, *more: str) -> list[dict[str, Any]]:
    sounds = {name: str(write_folder(checkout.parent / name)) for name in ("train", "noise", "valid")}
    options = [
        f"--{option}={sounds[name]}" for option, name in zip(("data", "noise", "valid"), sounds, strict=True)
    ]
    options += [
        "--model",
        "start",
        "--recipe",
        "tiny.yaml",
        "--no-wheels",
        "--minutes",
        "0.2",
        "--trial",
        "0.05",
        *more,
    ]
    outcome = run_tool("train_remote.py", ".remote", *options, cwd=checkout)
    assert outcome.exit_code == 0, outcome.stderr
    steps: list[dict[str, Any]] = json.loads((checkout / ".remote" / "calls.json").read_text())
    assert json.loads(outcome.stdout) == steps
    return steps


def _far_machine(folder: Path) -> dict[str, str]:
    """An environment with a `python3` that lacks much, a home of its own and a folder for results."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lacks").mkdir()
    (folder / "lacks" / "sitecustomize.py").write_text(LACKS)
    python = folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/lacks:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "OUT": str(folder / "out"), "OMP_NUM_THREADS": "1"}


def _call(step: dict[str, Any], checkout: Path, machine: Path, environment: dict[str, str]) -> str:
    """One call: the checkout travels anew, what is ignored only where it is carried."""
    copy = machine / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".remote", ".git"))
    for path in step["carry"]:
        shutil.copytree(checkout / path, copy / path)
    shutil.rmtree(environment["OUT"], ignore_errors=True)
    Path(environment["OUT"]).mkdir()
    assert len(step["command"]) < 2000
    done = subprocess.run(
        step["command"], shell=True, cwd=copy, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_a_planned_training_comes_back_as_a_model(tmp_path: Path, checkout: Path) -> None:
    steps = _plan(checkout, "--stop-after", "0.06")
    carried = [path for step in steps for path in step["carry"]]
    assert carried
    assert [step["command"].split()[2] for step in steps] == ["take"] * len(carried) + ["train"] * 4
    machine = tmp_path / "there"
    environment = _far_machine(machine)
    said = [_call(step, checkout, machine, environment) for step in steps[:-3]]
    # The trial starts, pauses, goes on and ends.
    assert "go on with --resume" in said[0]
    assert "minutes: done" in said[0]
    # It began with the model that came along, validated with what is there, and paused in time.
    assert "go on with --resume" in said[-1]
    state = machine / "codec_work" / "run" / "last.ckpt"
    paused = read_state(state)
    assert paused["progress"]["quantizing"]
    assert 0.0 < paused["seconds"] < 12.0
    last = {**steps[-1], "command": steps[-1]["command"].replace(" 0.06", " 2")}
    assert "minutes: done" in _call(last, checkout, machine, environment)
    assert read_state(state)["progress"]["steps"] > paused["progress"]["steps"]
    # What came back: at most 8 files, no more than two folders down, each small.
    out = machine / "out"
    back = [path for path in out.rglob("*") if path.is_file()]
    assert len(back) <= 8
    assert all(len(path.relative_to(out).parts) <= 3 and path.stat().st_size <= 16 * MIB for path in back)
    assert "si_sdr" in (out / "train.log").read_text()
    assert call_tool("join_parts.py", out / "model").exit_code == 0
    weights = dict(load_model(out / "model").named_parameters())
    average = read_state(state)["ema"]["shadow"]
    assert all(bool((value == average[name].half().float()).all()) for name, value in weights.items())


def test_every_call_stays_within_what_may_travel(checkout: Path) -> None:
    here = sum(
        path.stat().st_size for path in checkout.rglob("*") if path.is_file() and ".git" not in path.parts
    )
    limit = here / MIB + 1.0 + 0.45
    steps = _plan(checkout, "--call-mb", f"{limit}", "--max-mb", "0.3")
    sizes = [
        sum(path.stat().st_size for path in (checkout / step["carry"][0]).rglob("*") if path.is_file())
        for step in steps
        if step["carry"]
    ]
    assert len(sizes) > 1
    assert max(sizes) <= 0.45 * MIB + 1
    assert not (checkout / ".remote" / "all").exists()
    outcome = run_tool("train_remote.py", ".remote", "--data=x", "--noise=x", "--valid=x", cwd=checkout)
    assert (outcome.exit_code, outcome.stderr.count("error: ")) == (2, 1)
    outcome = run_tool(
        "train_remote.py", ".other", "--data=x", "--noise=x", "--valid=x", "--call-mb=1.1", cwd=checkout
    )
    assert (outcome.exit_code, outcome.stderr.count("error: ")) == (2, 1)
    assert "sparse-checkout" in outcome.stderr
    assert not (checkout / ".other").exists()
