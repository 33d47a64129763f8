"""Released models: what is written is read, and damaged or foreign files are refused with a sentence."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from codec.bitstream import EntropyCoder
from codec.checkpoint import find_checkpoint, load_model, model_id, save_model, weights_of
from codec.config import to_mapping
from codec.errors import CodecError
from codec.model import CodecModel
from tests.bitstream.small_tables import random_tables
from tests.small_model import SMALL, small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(small_model(), tmp_path / "small")
    return tmp_path / "small"


def test_the_stored_16_bit_weights_are_the_model(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    for name, value in weights_of(small_model()).items():
        assert torch.equal(weights_of(model)[name], value.half().float()), name
    save_model(model, tmp_path / "again")
    first, second = ((path / "model.safetensors").read_bytes() for path in (folder, tmp_path / "again"))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert model_id(load_model(tmp_path / "again")) == model_id(model) == model_id(small_model())


def test_the_id_follows_the_decoder_and_the_codebooks_but_not_the_encoder() -> None:
    model = small_model()
    reference = model_id(model)
    assert len(reference) == 8
    model.encoder_network.project_out.weight.add_(1.0)  # type: ignore[operator, union-attr]
    assert model_id(model) == reference
    model.bottleneck.quantizer.words.add_(0.5)
    assert model_id(model) != reference
    other = small_model()
    other.decoder_network.project_in.weight.mul_(2.0)  # type: ignore[operator, union-attr]
    assert model_id(other) not in (reference, model_id(model))
    assert model_id(small_model(config=replace(SMALL, name="renamed"))) == reference


def test_the_id_is_the_same_for_good_and_does_not_follow_search_and_training() -> None:
    for bottleneck in (
        SMALL.bottleneck,
        replace(SMALL.bottleneck, beam=4, train_beam=2, estimator="ema", replacement="split"),
    ):
        model = CodecModel(replace(SMALL, bottleneck=bottleneck))
        for value in weights_of(model).values():
            # Weights that are alike on every machine.
            numbers = torch.arange(value.numel(), dtype=torch.float64).remainder(251) / 256
            value.copy_(numbers.view(value.shape))
        assert model_id(model).hex() == "c11041c457ac689b"


def test_models_are_found_by_path_and_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(folder) == folder
    with pytest.raises(CodecError, match="no model small was found"):
        find_checkpoint("small")
    monkeypatch.setenv("CODEC_CHECKPOINTS", f"/nowhere:{folder.parent}")
    assert find_checkpoint("small") == folder


def test_weights_of_another_configuration_are_refused(folder: Path) -> None:
    config = to_mapping(replace(SMALL, dim=17))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CodecError, match="does not fit its configuration"):
        load_model(folder)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "huge header"])
def test_damaged_weights_are_refused(folder: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    contents = {"cut": data[: len(data) // 2], "text": b"hello", "empty": b"", "huge header": b"\xff" * 16}
    path.write_bytes(contents[damage])
    with pytest.raises(CodecError, match=r"model\.safetensors cannot be read"):
        load_model(folder)


def test_a_missing_or_surplus_weight_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "decoder_network.log_gain.bias"
    for changed in (weights | {"zzz": torch.zeros(1)}, {k: v for k, v in weights.items() if k != name}):
        save_file(changed, path)
        with pytest.raises(CodecError, match=r"zzz|log_gain"):
            load_model(folder)


def test_weights_that_are_no_finite_16_bit_numbers_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "decoder_network.log_gain.bias"
    for value in (weights[name] * torch.nan, weights[name].float(), weights[name].to(torch.int8)):
        save_file(weights | {name: value}, path)
        with pytest.raises(CodecError, match=r"finite 16-bit weights \(decoder_network\.log_gain\.bias\)"):
            load_model(folder)


def test_the_id_is_asked_anew_after_any_change() -> None:
    model = small_model()
    ids = {model_id(model)}
    model.decoder_network.log_gain.bias.add_(1.0)  # type: ignore[operator, union-attr]
    ids.add(model_id(model))
    weight = model.decoder_network.log_gain.weight  # type: ignore[union-attr]
    model.decoder_network.log_gain.weight = torch.nn.Parameter(weight * 2)  # type: ignore[union-attr, operator]
    ids.add(model_id(model))
    assert len(ids) == 3
    assert model_id(copy.deepcopy(model)) == model_id(model)


def test_weights_beyond_16_bits_are_not_released(tmp_path: Path) -> None:
    model = small_model()
    model.bottleneck.quantizer.words[0, 0, 0] = 1e6
    with pytest.raises(CodecError, match=r"quantizer\.words does not fit"):
        save_model(model, tmp_path / "x")
    assert not (tmp_path / "x" / "model.safetensors").exists()


def test_tables_are_part_of_the_model_and_of_its_id(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    plain = model_id(model)
    assert model.entropy is None
    model.entropy = EntropyCoder(random_tables(4, 16))
    with_tables = model_id(model)
    assert with_tables != plain
    save_model(model, tmp_path / "coded")
    again = load_model(tmp_path / "coded")
    assert again.entropy is not None
    assert again.entropy.tables.to_bytes() == model.entropy.tables.to_bytes()
    assert model_id(again) == model_id(copy.deepcopy(again)) == with_tables
    model.entropy = EntropyCoder(random_tables(4, 16, seed=1))
    assert model_id(model) not in (plain, with_tables)
    model.entropy = None
    assert model_id(model) == plain
    save_model(model, tmp_path / "coded")
    assert model_id(load_model(tmp_path / "coded")) == plain


def test_tables_of_another_model_or_damaged_ones_are_refused(folder: Path) -> None:
    path = folder / "entropy.safetensors"
    for tables in (random_tables(4, 32), random_tables(3, 16)):
        path.write_bytes(tables.to_bytes())
        with pytest.raises(CodecError, match="other codebooks than the model's"):
            load_model(folder)
    path.write_bytes(random_tables(4, 16).to_bytes()[:-100])
    with pytest.raises(CodecError, match=r"entropy\.safetensors cannot be read"):
        load_model(folder)
