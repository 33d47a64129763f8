"""Averaged weights: closed form, swapping, checkpoints and replaced codebook words."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from codec.errors import CodecError
from codec.training.ema import WeightEma


class Model(nn.Module):
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.full((2, 4, 3), value))
        self.inner = nn.Linear(3, 2)


def set_words(model: Model, value: float) -> None:
    with torch.no_grad():
        model.words.fill_(value)


def averaged_words(ema: WeightEma, model: Model) -> torch.Tensor:
    target = copy.deepcopy(model)
    ema.copy_to(target)
    return target.words.detach()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_average_has_its_closed_form(decay: float) -> None:
    model = Model(1.0)
    ema, expected = WeightEma(model, decay), 1.0
    for n in range(200):
        set_words(model, float(n % 7))
        ema.update(model)
        d = min(decay, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * (n % 7)
    torch.testing.assert_close(averaged_words(ema, model), torch.full((2, 4, 3), expected))


def test_the_average_is_a_copy_that_the_optimizer_does_not_touch() -> None:
    model = Model(1.0)
    ema = WeightEma(model, 0.9)
    set_words(model, 5.0)
    assert (averaged_words(ema, model) == 1.0).all()


def test_swap_restores_the_weights_bit_for_bit_even_after_an_error() -> None:
    torch.manual_seed(0)
    model = Model()
    ema = WeightEma(model, 0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    own = {name: parameter.clone() for name, parameter in model.named_parameters()}
    storage = model.words.data_ptr()
    with pytest.raises(RuntimeError, match="inside"), ema.swap(model):
        assert (model.words == 0).all()
        raise RuntimeError("inside")
    assert all(torch.equal(parameter, own[name]) for name, parameter in model.named_parameters())
    # An optimizer goes on with the same tensors.
    assert model.words.data_ptr() == storage


def test_replaced_words_forget_their_past() -> None:
    model = Model(1.0)
    ema = WeightEma(model, 0.99)
    m, k = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 3])
    with torch.no_grad():
        model.words[m, k] = 9.0
    ema.reset_rows("words", (m, k), model.words[m, k])
    found = averaged_words(ema, model)
    assert (found[m, k] == 9.0).all()
    assert (found == 9.0).sum() == 9
    ema.reset_rows("words", torch.tensor([0]), torch.zeros(1, 4, 3))
    assert (averaged_words(ema, model)[0] == 0.0).all()


def test_state_survives_a_file(tmp_path: Path) -> None:
    model = Model(1.0)
    ema, restored = WeightEma(model, 0.9), WeightEma(Model(3.0), 0.9)
    for value in (2.0, 4.0):
        set_words(model, value)
        ema.update(model)
    torch.save(ema.state_dict(), tmp_path / "ema.pt")
    restored.load_state_dict(torch.load(tmp_path / "ema.pt", weights_only=True))
    for _ in range(3):
        ema.update(model)
        restored.update(model)
        assert torch.equal(averaged_words(restored, model), averaged_words(ema, model))


def test_half_precision_weights_are_averaged_in_float32() -> None:
    model = Model(1.0).to(torch.bfloat16)
    ema = WeightEma(model, 0.999)
    ema.num_updates = 100_000
    set_words(model, 2.0)
    for _ in range(10):
        ema.update(model)
    # Steps of a thousandth are lost when they are added to 1 in bfloat16.
    shadow = ema.state_dict()["shadow"]["words"]
    torch.testing.assert_close(shadow, torch.full((2, 4, 3), 2 - 0.999**10), rtol=1e-5, atol=0)


def test_another_model_is_refused() -> None:
    ema = WeightEma(Model(), 0.9)
    with pytest.raises(CodecError, match="another model"):
        ema.update(nn.Linear(3, 2))
    state = ema.state_dict()
    state["shadow"]["words"] = torch.zeros(2, 4, 5)
    with pytest.raises(CodecError, match=r"words is \(2, 4, 3\) here"):
        WeightEma(Model(), 0.9).load_state_dict(state)
    with pytest.raises(ValueError, match="decay"):
        WeightEma(Model(), 1.0)
