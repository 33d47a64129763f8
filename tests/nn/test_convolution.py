"""Causal convolutions: what they compute, steps equal the whole, weight normalization comes and goes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from codec.nn.convolution import CausalConv, CausalTransposedConv, add_weight_norm, fold_weight_norm
from tests.nn.streams import close, in_steps, noise, partitions

FRAMES = 21
# kernel, stride, dilation
CONVOLUTIONS = [(7, 1, 1), (3, 1, 9), (1, 1, 1), (4, 2, 1), (10, 5, 1), (7, 1, 3), (5, 2, 2)]
STRIDES = [1, 2, 5, 8]


def convolution(kernel: int, stride: int, dilation: int, activate: bool = True) -> CausalConv:
    torch.manual_seed(0)
    return CausalConv(6, 10, kernel, stride, dilation, activate).requires_grad_(False)


def transposed(stride: int) -> CausalTransposedConv:
    torch.manual_seed(0)
    return CausalTransposedConv(6, 10, stride).requires_grad_(False)


def rows(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


@settings(max_examples=60)
@given(st.sampled_from(CONVOLUTIONS), partitions(FRAMES), st.booleans())
def test_steps_equal_the_whole(layout: tuple[int, int, int], sizes: list[int], activate: bool) -> None:
    layer, stride = convolution(*layout, activate), layout[1]
    x = noise(2, 6, FRAMES * stride)

    def step(x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        return layer.step(x, state, valid * stride)

    y, _ = in_steps(step, layer.start(2), rows(x), sizes, rows_in=stride)
    close(rows(y), layer(x))


@settings(max_examples=40)
@given(st.sampled_from(STRIDES), partitions(FRAMES))
def test_transposed_steps_equal_the_whole(stride: int, sizes: list[int]) -> None:
    layer, x = transposed(stride), noise(2, 6, FRAMES)
    y, _ = in_steps(layer.step, layer.start(2), rows(x), sizes, rows_out=stride)
    close(rows(y), layer(x))


@pytest.mark.parametrize(("kernel", "stride", "dilation"), CONVOLUTIONS)
def test_an_output_sums_the_samples_up_to_the_end_of_its_stride(
    kernel: int, stride: int, dilation: int
) -> None:
    layer, x = convolution(kernel, stride, dilation), noise(1, 6, 12 * stride)
    y = layer(x)
    assert y.shape == (1, 10, 12)
    for frame in (0, 5, 11):
        expected = layer.bias.clone()
        for tap in range(kernel):
            at = frame * stride + stride - 1 - (kernel - 1 - tap) * dilation
            if at >= 0:
                expected += layer.weight[:, tap] @ F.elu(x[0, :, at])
        close(y[0, :, frame], expected)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_transposed_output_sums_its_own_input_and_the_one_before(stride: int) -> None:
    layer, x = transposed(stride), noise(1, 6, 9)
    y, active = layer(x), F.elu(x)
    assert y.shape == (1, 10, 9 * stride)
    for frame, phase in ((0, 0), (4, stride - 1), (8, stride // 2)):
        expected = layer.bias + active[0, :, frame] @ layer.weight[:, phase]
        if frame:
            expected = expected + active[0, :, frame - 1] @ layer.weight[:, stride + phase]
        close(y[0, :, frame * stride + phase], expected)


def test_the_state_of_a_resting_stream_is_small() -> None:
    layer = convolution(7, 1, 3)
    _, state = layer.step(noise(1, 640, 6), layer.start(1), 640)
    assert state.untyped_storage().nbytes() == 18 * 6 * 4


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(CausalConv(3, 8, 4, 2), CausalTransposedConv(8, 4, 2), nn.Conv1d(4, 2, 1))


def test_weight_norm_changes_nothing_but_the_parameters(network: nn.Module) -> None:
    x, state = noise(1, 3, 40), copy.deepcopy(network.state_dict())
    before = network(x)
    add_weight_norm(network)
    split = set(network.state_dict())
    assert "0.weight" not in split
    assert "2.weight" in split
    close(network(x), before)
    add_weight_norm(network)
    assert set(network.state_dict()) == split
    fold_weight_norm(network)
    fold_weight_norm(network)
    close(network(x), before)
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }


def test_split_weights_learn_and_fold_to_what_was_learned(network: nn.Module) -> None:
    add_weight_norm(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x = noise(1, 3, 40)
    network(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    before = network(x)
    optimizer.step()
    learned = network(x)
    assert not torch.allclose(learned, before)
    fold_weight_norm(network)
    close(network(x), learned)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_folding_a_copy_leaves_the_original_split(network: nn.Module) -> None:
    add_weight_norm(network)
    x, names = noise(1, 3, 40), set(network.state_dict())
    folded = copy.deepcopy(network)
    fold_weight_norm(folded)
    close(folded(x), network(x))
    assert set(network.state_dict()) == names
    network(x).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
