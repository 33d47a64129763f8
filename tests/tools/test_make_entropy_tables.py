"""Entropy tables made of clips are found beside the model, and make its payloads smaller."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from codec.api import Codec
from codec.bitstream import PayloadCoder
from codec.checkpoint import save_model
from tests.small_model import small_model
from tests.tools.conftest import ROOT, call_tool

CLIPS = ROOT / "tests" / "data" / "clips"


def test_tables_are_made_of_clips_and_loaded_with_the_model(tmp_path: Path, monkeypatch) -> None:
    save_model(small_model(), tmp_path / "small")
    plain = Codec.load(tmp_path / "small").id
    sound = tmp_path / "sound"
    sound.mkdir()
    for clip in sorted(CLIPS.glob("*.flac"))[:2]:
        shutil.copy(clip, sound / f"a-{clip.name}")
    done = call_tool("make_entropy_tables.py", tmp_path / "small", sound)
    assert done.exit_code == 0, done.stderr
    assert "entropy.safetensors" in done.stdout
    codec = Codec.load(tmp_path / "small")
    assert codec.id != plain
    rng = np.random.default_rng(0)
    codes = codec.tokens(0.1 * rng.standard_normal(32_000).astype(np.float32), 16_000)[None]
    coder = PayloadCoder(4, 4, codes.shape[2], 1, codec.model.entropy)
    np.testing.assert_array_equal(coder.unpack(coder.pack(codes)), codes)


def test_missing_sound_is_a_sentence(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path / "small")
    done = call_tool("make_entropy_tables.py", tmp_path / "small", tmp_path / "nothing")
    assert done.exit_code == 1
    assert "does not exist" in done.stderr
