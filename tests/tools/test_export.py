"""Releases of a training: a model or the whole state, in one piece or in parts that are joined again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from codec.checkpoint import load_model
from codec.errors import CodecError
from codec.training.fit import fit
from codec.training.parts import join_parts, split_file
from codec.training.state import STATE_NAME, read_state
from tests.tools.conftest import call_tool
from tests.training.test_resume import TRAINED, assert_same
from tests.training.tiny import tiny_recipe

PART = 8192 / 2**20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit(tiny_recipe(max_steps=6), [clips], folder, device="cpu", progress=False)
    return folder


def test_a_model_comes_back_from_its_parts(tmp_path: Path, run: Path) -> None:
    assert call_tool("export_checkpoint.py", run / STATE_NAME, tmp_path / "whole").exit_code == 0
    parts = tmp_path / "parts"
    assert call_tool("export_checkpoint.py", run / STATE_NAME, parts, "--part-mb", PART).exit_code == 0
    weights = parts / "model.safetensors"
    assert not weights.exists()
    sizes = [part.stat().st_size for part in sorted(parts.glob("model.safetensors.[0-9]*"))]
    assert len(sizes) > 1
    assert max(sizes) <= 8192
    assert call_tool("join_parts.py", parts).exit_code == 0
    assert weights.read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert load_model(parts).config.name == "tiny"


def test_a_released_state_is_resumed_in_the_same_bits(tmp_path: Path, clips: Path, run: Path) -> None:
    artifact = tmp_path / "artifact"
    outcome = call_tool("export_state.py", run / STATE_NAME, artifact, "--part-mb", PART)
    assert outcome.exit_code == 0
    assert "--resume" in outcome.stdout
    assert not (artifact / STATE_NAME).exists()
    assert call_tool("join_parts.py", artifact).exit_code == 0
    for line in (artifact / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((artifact / name).read_bytes()).hexdigest() == digest
    for folder in (artifact, run):
        fit(tiny_recipe(max_steps=9), [clips], folder, resume=True, device="cpu", progress=False)
    states = [read_state(folder / STATE_NAME) for folder in (artifact, run)]
    assert_same(*({name: state[name] for name in TRAINED} for state in states))


def test_what_is_no_state_or_no_new_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / STATE_NAME).write_bytes(b"nothing")
    for arguments in ((tmp_path / "none", tmp_path / "a"), (tmp_path / STATE_NAME, tmp_path / "a")):
        outcome = call_tool("export_state.py", *arguments)
        assert outcome.exit_code == 1
        assert outcome.stderr.startswith("error: ")
        assert not (tmp_path / "a").exists()
    outcome = call_tool("join_parts.py", tmp_path)
    assert (outcome.exit_code, outcome.stderr.count("error: ")) == (1, 1)


@pytest.mark.parametrize("damage", ["missing", "changed", "index"])
def test_damaged_parts_are_named_and_nothing_is_joined(tmp_path: Path, damage: str) -> None:
    source = tmp_path / "file"
    source.write_bytes(bytes(range(256)) * 40)
    index = split_file(source, tmp_path / "parts", 4096)
    assert join_parts(index).read_bytes() == source.read_bytes()
    (tmp_path / "parts" / "file").unlink()
    second = tmp_path / "parts" / "file.1"
    if damage == "missing":
        second.unlink()
    elif damage == "changed":
        second.write_bytes(b"x" + second.read_bytes()[1:])
    else:
        index.write_text(index.read_text().replace("file.1", "../file.1"))
    with pytest.raises(CodecError, match="file.parts" if damage == "index" else "file.1"):
        join_parts(index)
    assert not (tmp_path / "parts" / "file").exists()


def test_an_empty_file_has_one_part(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = split_file(tmp_path / "file", tmp_path / "parts", 10)
    assert join_parts(index).read_bytes() == b""
