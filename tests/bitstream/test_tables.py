"""Entropy tables on disk: what is written is read, and whatever does not fit is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.tables import EntropyTables, read_tables
from codec.errors import CodecError
from tests.bitstream.small_tables import random_tables


@pytest.mark.parametrize(("codebooks", "words"), [(1, 3), (1, 8192), (256, 2), (2, 1)])
def test_impossible_sizes_are_refused(codebooks: int, words: int) -> None:
    with pytest.raises(CodecError, match="impossible size"):
        random_tables(codebooks, words)


def test_tables_are_written_and_read(tmp_path: Path) -> None:
    tables = random_tables(4, 32)
    path = tmp_path / "entropy.safetensors"
    path.write_bytes(tables.to_bytes())
    back = read_tables(path)
    for (name, value), (_, again) in zip(tables.arrays(), back.arrays(), strict=True):
        np.testing.assert_array_equal(value, again, err_msg=name)
    assert back.to_bytes() == tables.to_bytes()
    assert (back.num_codebooks, back.codebook_size, back.levels) == (4, 32, 5)


def test_tables_do_not_change() -> None:
    with pytest.raises(ValueError, match="read-only"):
        random_tables().left[0] = 1


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "huge header", "missing", "folder"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "entropy.safetensors"
    data = random_tables().to_bytes()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        contents = {"cut": data[:-9], "text": b"hello", "empty": b"", "huge header": b"\xff" * 16}
        path.write_bytes(contents[damage])
    with pytest.raises(CodecError, match=r"entropy\.safetensors cannot be read"):
        read_tables(path)


def test_huge_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "entropy.safetensors"
    with path.open("wb") as file:
        file.truncate(4_000_001)
    with pytest.raises(CodecError, match="larger than entropy tables can be"):
        read_tables(path)


def changed(name: str, change: str) -> np.ndarray:
    value: np.ndarray = getattr(random_tables(), name).copy()
    if change == "type":
        return value.astype(np.float32)
    if change == "shape":
        return value[:-1]
    if change == "dimensions":
        return value[None]
    value[...] = 0 if change == "zero" else np.iinfo(value.dtype).max
    return value


@pytest.mark.parametrize("change", ["type", "shape", "dimensions"])
@pytest.mark.parametrize("name", [name for name, _ in random_tables().arrays()])
def test_arrays_of_another_type_or_shape_are_refused(name: str, change: str) -> None:
    with pytest.raises(CodecError, match="entropy tables"):
        random_tables(**{name: changed(name, change)})


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("leaves", "zero", "a leaf"),
        ("left", "zero", "impossible probability"),
        ("shifts", "most", "impossible probability or shift"),
        ("counts", "zero", "no interval"),
        ("counts", "most", "no interval"),
        ("past_in_weight", "most", "too large numbers .first in past_in"),
        ("past_out_weight", "most", "too large"),
        ("hidden_bias", "most", "too large"),
        ("node_bias", "most", "too large"),
    ],
)
def test_impossible_numbers_are_refused(name: str, change: str, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        random_tables(**{name: changed(name, change)})


def test_files_of_other_tensors_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save

    path = tmp_path / "entropy.safetensors"
    arrays = dict(random_tables().arrays())
    path.write_bytes(save(arrays | {"more": np.zeros(1)}))
    with pytest.raises(CodecError, match="holds no entropy tables"):
        read_tables(path)
    path.write_bytes(save(arrays | {"left": np.zeros(2048, np.uint16)}))
    with pytest.raises(CodecError, match=r"entropy\.safetensors: .* get a fresh copy"):
        read_tables(path)
    assert isinstance(EntropyTables(**arrays), EntropyTables)
