"""Layers at frame rate: steps equal the whole, nothing looks ahead, no layer keeps a stream."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codec.nn.layers import ConvNextBlock, ConvNextStack, DepthwiseConv
from tests.nn.streams import close, in_steps, noise, partitions, tensors

CHANNELS, FRAMES = 12, 30

MAKERS: dict[str, Callable[[], nn.Module]] = {
    "depthwise": lambda: DepthwiseConv(CHANNELS, 7),
    "depthwise of kernel 1": lambda: DepthwiseConv(CHANNELS, 1),
    "block": lambda: ConvNextBlock(CHANNELS, kernel=5, expansion=3, layer_scale=0.5),
    "stack": lambda: ConvNextStack(CHANNELS, blocks=3, kernel=4, expansion=2),
}


def build(name: str) -> nn.Module:
    """A layer with random values in every parameter, so that none is 0 or 1 by its start."""
    torch.manual_seed(0)
    layer = MAKERS[name]().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.fixture(params=MAKERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@settings(max_examples=40)
@given(st.sampled_from(sorted(MAKERS)), partitions(FRAMES))
def test_steps_equal_the_whole(name: str, sizes: list[int]) -> None:
    layer, x = build(name), noise(2, FRAMES, CHANNELS)
    y, _ = in_steps(layer.step, layer.start(2), x, sizes)
    close(y, layer(x))


def test_no_layer_looks_ahead(layer: nn.Module) -> None:
    x, changed = noise(1, FRAMES, CHANNELS), noise(1, FRAMES, CHANNELS)
    changed[:, 17:] += 1.0
    before, after = layer(x), layer(changed)
    assert torch.equal(before[:, :17], after[:, :17])
    assert not torch.isclose(before[:, 17], after[:, 17]).all()


def test_a_step_changes_neither_the_layer_nor_the_state_it_was_given(layer: nn.Module) -> None:
    x = noise(1, 8, CHANNELS)
    _, state = layer.step(x, layer.start(1), 8)
    kept, parameters = copy.deepcopy(state), copy.deepcopy(layer.state_dict())
    first, second = (layer.step(x, state, 3) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), tensors(kept), strict=True))
    assert all(torch.equal(value, parameters[name]) for name, value in layer.state_dict().items())


def test_depthwise_is_the_sum_over_past_frames() -> None:
    layer, x = build("depthwise"), noise(1, 9, CHANNELS)
    expected = layer.bias + sum(layer.weight[tap] * x[0, 8 - 6 + tap] for tap in range(7))
    close(layer(x)[0, 8], expected)
    close(layer(x)[0, 0], layer.bias + layer.weight[6] * x[0, 0])


def test_a_block_starts_close_to_the_identity() -> None:
    torch.manual_seed(0)
    x = noise(1, FRAMES, CHANNELS)
    change = ConvNextBlock(CHANNELS, kernel=7, expansion=3, layer_scale=0.1)(x) - x
    assert 0 < float(change.detach().norm() / x.norm()) < 0.1
