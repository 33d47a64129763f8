"""`codec.extras`: a missing optional package is one sentence with its `pip install` line."""

from __future__ import annotations

import sys

import pytest

from codec.errors import CodecError
from codec.extras import require


def test_returns_the_module() -> None:
    import json.decoder

    assert require("json.decoder", extra="eval") is json.decoder


def test_missing_package_is_one_sentence_with_the_remedy() -> None:
    with pytest.raises(CodecError) as caught:
        require("no_such_package.part", extra="eval")
    sentence = str(caught.value)
    assert "no_such_package:" in sentence
    assert "pip install 'codec[eval]'" in sentence
    assert "\n" not in sentence


def test_blocked_package_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(CodecError, match=r"pip install 'codec\[pesq\]'"):
        require("pesq", extra="pesq")


def test_names_the_dependency_that_is_missing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import its_lost_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CodecError, match="its_lost_dependency is missing"):
        require("half_installed", extra="train")
