"""`codec train` and the recipes' scripts: what they print, keep, refuse, and answer to Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from codec.cli.main import main
from codec.training.__main__ import main as plain
from codec.training.config import read_recipe, recipe_yaml
from codec.training.state import STATE_NAME, read_state
from tests.training.tiny import tiny_recipe

ROOT = Path(__file__).resolve().parents[2]
# Of rows to compare, beside the recipes of one training each.
TABLES = ("ablations", "compare")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A recipe that trains for longer than any test waits."""
    path = tmp_path / "config.yaml"
    path.write_text(recipe_yaml(tiny_recipe(max_steps=1_000_000)))
    return path


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_keeps_the_state_and_says_how_to_go_on(tmp_path: Path, clips: Path, config: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(config), "--data", str(clips), "--run", str(run), "--save-minutes", "0"]
    program = [sys.executable, "-m", "codec", *arguments, "--device", "cpu"]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        _wait_for(run / STATE_NAME, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    last = said.splitlines()[-1]
    assert last.startswith("codec: error: ended by SIGINT after step ")
    assert "--resume" in last
    assert "Traceback" not in said
    steps = read_state(run / STATE_NAME)["progress"]["steps"]
    assert f"after step {steps}," in last
    # The recipe is said and kept.
    assert "codebook_size: 8" in said
    assert read_recipe(run / "config.yaml") == read_recipe(config)
    more = ["--resume", "--steps", str(steps + 2), "--device", "cpu", "--quiet"]
    assert main([*arguments, *more]) == 0
    assert read_state(run / STATE_NAME)["progress"]["steps"] == steps + 2


def test_the_smoke_script_trains(tmp_path: Path) -> None:
    program = [
        sys.executable,
        str(ROOT / "recipes" / "smoke" / "train.py"),
        "--steps",
        "1",
        "--device",
        "cpu",
    ]
    done = subprocess.run([*program, "--run", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trained for 1 step:" in done.stderr
    assert read_state(tmp_path / STATE_NAME)["progress"]["steps"] == 1


def test_the_speech_script_needs_data() -> None:
    program = [sys.executable, str(ROOT / "recipes" / "speech_16k" / "train.py")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--data" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("recipe", ["encodec_24k", "smoke", "soundstream_24k", "speech_16k"])
def test_every_recipe_of_a_codec_can_be_read(recipe: str) -> None:
    assert read_recipe(ROOT / "recipes" / recipe / "config.yaml").model.name == recipe


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "recipes" / "speech_16k").glob("*.yaml")) if path.stem not in TABLES],
    ids=lambda path: path.stem,
)
def test_every_stage_of_the_speech_models_can_be_read(path: Path) -> None:
    model = read_recipe(path).model
    assert (model.sample_rate, model.hop) == (16000, 320), "a stage goes on from one of the same layout"


def test_what_cannot_be_trained_is_one_sentence(
    tmp_path: Path, clips: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    mapping = yaml.safe_load(config.read_text())
    mapping["training"]["optimizer"]["learnin_rate"] = 1.0
    wrong.write_text(yaml.safe_dump(mapping))
    data = ["--data", str(clips)]
    rows = [
        ([str(tmp_path / "none.yaml"), *data], "none.yaml", 1),
        ([str(wrong), *data], "learnin_rate", 1),
        ([str(config), "--data", str(tmp_path / "nowhere")], "nowhere", 1),
        ([str(config), *data, "--resume"], "--resume", 2),
        ([str(config), *data, "--init-from", str(tmp_path / "nothing")], "nothing", 1),
        ([str(config), *data, "--device", "abacus"], "abacus", 2),
        ([str(config), *data, "--steps", "0"], "--steps", 2),
        ([str(config), *data, "--minutes", "0"], "max_minutes", 1),
        ([str(config), *data, "--steps", "5", "--minutes", "5"], "not both", 2),
        ([str(config)], "--data", 2),
    ]
    for index, (arguments, named, code) in enumerate(rows):
        run = tmp_path / f"run{index}"
        assert main(["train", *arguments, "--run", str(run), "--quiet"]) == code, named
        lines = capsys.readouterr().err.splitlines()
        assert named in lines[-1]
        assert lines[-1].startswith("codec: error: ")
        assert not (run / STATE_NAME).exists()


def test_a_run_pauses_and_says_how_to_go_on(
    tmp_path: Path, clips: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "train",
        str(config),
        "--data",
        str(clips),
        "--run",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--minutes", "60", "--stop-after", "0"]) == 0
    assert "trained for 1 step: " in capsys.readouterr().err.splitlines()[-1]
    assert main([*arguments, "--resume", "--steps", "2", "--quiet"]) == 0
    assert read_state(tmp_path / "run" / STATE_NAME)["progress"]["steps"] == 2


def test_the_plain_command_ends_as_the_other_does(
    tmp_path: Path, clips: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(clips), "--run", str(tmp_path / "run"), "--device", "cpu"]
    assert plain([str(tmp_path / "none.yaml"), *arguments]) == 1
    assert "none.yaml" in capsys.readouterr().err
    assert plain([str(config), *arguments, "--resume"]) == 2
    assert plain([str(config), *arguments, "--steps", "1"]) == 0
    assert "1 steps, 0.0 minutes: done" in capsys.readouterr().out


def test_a_missing_package_is_a_sentence_with_its_remedy(
    clips: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    assert main(["train", str(config), "--data", str(clips)]) == 1
    assert "pip install 'codec[train]'" in capsys.readouterr().err
