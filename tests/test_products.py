"""Products with reordered weights: torch's results, equal bits for all numbers of rows, no stale weight."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F

from codec import products
from codec.nn.linear import Linear
from codec.products import Product

# A large weight is reordered, a small one is not.
SHAPES = [(384, 192), (8, 16)]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
def test_a_product_is_that_of_torch_and_follows_its_weight(outputs: int, inputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    bias, x = torch.randn(outputs, generator=generator), torch.randn(3, 16, inputs, generator=generator)
    product = Product()
    with torch.no_grad():
        for _ in range(2):
            expected = F.linear(x, weight, bias)
            torch.testing.assert_close(product(x, weight, bias), expected, **CLOSE)
            expected = F.gelu(expected, approximate="tanh")
            torch.testing.assert_close(product(x, weight, bias, gelu=True), expected, **CLOSE)
            weight.mul_(-2.0)
        other = torch.randn(outputs, inputs, generator=generator)
        torch.testing.assert_close(product(x, other), F.linear(x, other), **CLOSE)


def test_rows_get_the_same_bits_in_any_number() -> None:
    layer, x = Linear(384, 96), torch.randn(128, 384, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for function in (layer, layer.gelu):
            whole = function(x)
            for rows in (8, 16, 32, 64):
                assert torch.equal(torch.cat([function(part) for part in torch.split(x, rows)]), whole)


def test_gradients_are_those_of_torch() -> None:
    layer, x = Linear(192, 384), torch.randn(8, 192, requires_grad=True)
    with torch.no_grad():
        layer(x)  # leaves a reordered weight behind
    layer(x).square().sum().backward()
    (expected,) = torch.autograd.grad(F.linear(x, layer.weight, layer.bias).square().sum(), layer.weight)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, expected, **CLOSE)


def test_a_layer_that_computed_can_be_copied_and_saved() -> None:
    layer, x = Linear(384, 192), torch.randn(8, 384)
    with torch.inference_mode():
        expected = layer(x)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        assert torch.equal(twin(x), expected)
        twin.weight.zero_()
        twin.bias.zero_()
        assert not twin(x).any()
        assert torch.equal(layer(x), expected)
    file = io.BytesIO()
    torch.save(layer, file)


def test_a_weight_that_does_not_count_its_changes_is_read_anew() -> None:
    with torch.inference_mode():
        weight, x, product = torch.ones(256, 256), torch.ones(8, 256), Product()
        assert product(x, weight)[0, 0] == 256
        weight.zero_()
        assert not product(x, weight).any()


def test_without_onednn_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_AVAILABLE", False)
    weight, x = torch.randn(256, 256), torch.randn(8, 256)
    with torch.inference_mode():
        assert torch.equal(Product()(x, weight), F.linear(x, weight))
