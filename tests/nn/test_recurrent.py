"""The LSTM in steps equals the LSTM of torch, bit for bit however frames are cut."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.nn.recurrent import ResidualLstm
from tests.nn.streams import close, in_steps, noise, partitions, tensors

FRAMES, CHANNELS = 21, 16


def lstm(layers: int) -> ResidualLstm:
    torch.manual_seed(0)
    return ResidualLstm(CHANNELS, layers).requires_grad_(False)


@settings(max_examples=40)
@given(st.integers(1, 3), partitions(FRAMES))
def test_steps_equal_the_whole_and_each_other(layers: int, sizes: list[int]) -> None:
    layer, x = lstm(layers), noise(1, CHANNELS, FRAMES)
    rows = x.transpose(1, 2)
    y, state = in_steps(layer.step, layer.start(1), rows, sizes)
    close(y.transpose(1, 2), layer(x))
    reference, reference_state = in_steps(layer.step, layer.start(1), rows, [FRAMES])
    assert torch.equal(y, reference)
    assert all(map(torch.equal, tensors(state), tensors(reference_state)))


def test_streams_of_a_batch_are_their_own() -> None:
    layer, x = lstm(2), noise(3, FRAMES, CHANNELS)
    together, _ = in_steps(layer.step, layer.start(3), x, [5, 16])
    alone, _ = in_steps(layer.step, layer.start(1), x[1:2], [5, 16])
    close(together[1:2], alone)


def test_the_skip_adds_the_input() -> None:
    layer, x = lstm(2), noise(1, CHANNELS, FRAMES)
    y, _ = layer.lstm(x.permute(2, 0, 1))
    close(layer(x), x + y.permute(1, 2, 0))
