"""Causal layers at frame rate, each with a whole-sequence pass for training and a step for streaming.

Frames are rows: every tensor here is ``[B, F, C]`` with F frames of C channels. A layer's stream lives in a
state that its owner keeps: ``start`` gives the state before the first frame, ``step`` takes and returns it. A
step may be handed more frames than are real, so that matrix products see a row count that suits them: the
first ``valid`` frames are real, and the state that comes back is the one after them.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.nn.linear import Linear

State: TypeAlias = "Tensor | tuple[State, ...]"


class DepthwiseConv(nn.Module):
    """Causal convolution over frames, each channel by itself: ``[B, F, C]`` to ``[B, F, C]``.

    A step sums shifted rows tap by tap, in one order: elementwise arithmetic gives every row the same bits
    however many rows there are, which the convolution kernels of torch do not.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(kernel, channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.trunc_normal_(self.weight, std=kernel**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences in training; see the module."""
        padded = F.pad(x.transpose(1, 2), (self.kernel - 1, 0))
        weight = self.weight.t().unsqueeze(1)
        return F.conv1d(padded, weight, self.bias, groups=weight.shape[0]).transpose(1, 2)

    def start(self, batch: int) -> Tensor:
        """The ``kernel - 1`` frames of silence before the first, ``[B, kernel - 1, C]``."""
        return self.weight.new_zeros(batch, self.kernel - 1, self.weight.shape[1])

    def step(self, x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """See the module; the state is the last ``kernel - 1`` real frames."""
        frames = x.shape[1]
        history = torch.cat([state, x], dim=1)
        y = self.bias + self.weight[0] * history[:, :frames]
        for tap in range(1, self.kernel):
            y = y + self.weight[tap] * history[:, tap : tap + frames]
        # A copy: a view would keep the whole block alive, and be saved with it.
        return y, history[:, valid : valid + self.kernel - 1].clone()


class ConvNextBlock(nn.Module):
    """Causal ConvNeXt block (Liu et al. 2022) with layer scale: ``[B, F, C]`` to ``[B, F, C]``."""

    def __init__(self, channels: int, kernel: int, expansion: int, layer_scale: float) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(channels, kernel)
        self.norm = nn.LayerNorm(channels)
        self.expand = Linear(channels, expansion * channels)
        self.contract = Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences in training; see the module."""
        return x + self._mix(self.depthwise(x))

    def start(self, batch: int) -> Tensor:
        """The state of the depthwise convolution, ``[B, kernel - 1, C]``."""
        return self.depthwise.start(batch)

    def step(self, x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """See the module."""
        y, state = self.depthwise.step(x, state, valid)
        return x + self._mix(y), state

    def _mix(self, y: Tensor) -> Tensor:
        y = self.contract(self.expand.gelu(self.norm(y)))
        mixed: Tensor = self.scale * y
        return mixed


class ConvNextStack(nn.Module):
    """``blocks`` ConvNeXt blocks and a closing LayerNorm: ``[B, F, C]`` to ``[B, F, C]``."""

    def __init__(self, channels: int, blocks: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvNextBlock(channels, kernel, expansion, 1.0 / blocks) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences in training; see the module."""
        for block in self.blocks:
            x = block(x)
        normalized: Tensor = self.norm(x)
        return normalized

    def start(self, batch: int) -> tuple[State, ...]:
        """One state a block."""
        return tuple(block.start(batch) for block in self.blocks)  # type: ignore[operator]

    def step(self, x: Tensor, state: tuple[State, ...], valid: int) -> tuple[Tensor, tuple[State, ...]]:
        """See the module."""
        after = []
        for block, before in zip(self.blocks, state, strict=True):
            x, block_state = block.step(x, before, valid)  # type: ignore[operator]
            after.append(block_state)
        return self.norm(x), tuple(after)
