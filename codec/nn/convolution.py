"""Causal convolutions that change the rate of time, and weight normalization for their training.

Whole sequences are ``[B, C, T]``, on which torch's convolutions are fastest. Steps take rows ``[B, T, C]``,
the first ``valid`` of them real, and are matrix products: these give a row the same bits at any position and
at any number of rows that is a multiple of 8, which convolution kernels do not. A step computes and gives no
more rows than that asks for, so that a single frame costs little.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from codec.nn.rows import elu, fit_rows, whole_rows


class CausalConv(nn.Module):
    """Convolution over past samples, by default of ELU(x): ``[B, C, T]`` to ``[B, C', T / stride]``.

    ``weight`` is ``[C', kernel, C]``, which a step uses as a matrix, as it lies in memory.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.activate = stride, dilation, activate
        self.span = (kernel - 1) * dilation + 1
        self.past = self.span - stride
        bound = (channels * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, kernel, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences, silence before the first sample."""
        x = F.elu(x) if self.activate else x
        x = F.pad(x, (self.past, 0)) if self.past else x
        return F.conv1d(x, self.weight.transpose(1, 2), self.bias, self.stride, dilation=self.dilation)

    def rows_after(self, valid: int) -> int:
        """Rows that ``valid`` rows, a multiple of the stride, become."""
        return valid // self.stride

    def start(self, batch: int) -> Tensor:
        """The silence before the first sample, ``[B, past, C]``."""
        return self.weight.new_zeros(batch, self.past, self.weight.shape[2])

    def step(self, x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """Rows ``[B, T, C]`` to ``[B, T', C']``; the state is the last ``past`` real rows after their ELU."""
        x = fit_rows(x, whole_rows(self.rows_after(valid)) * self.stride)
        x = elu(x) if self.activate else x
        history = torch.cat([state, x], dim=1) if self.past else x
        windows = history.unfold(1, self.span, self.stride)[..., :: self.dilation].transpose(2, 3)
        y = F.linear(windows.flatten(2).contiguous(), self.weight.flatten(1), self.bias)
        # A copy, since a view would keep the whole history in memory for as long as the stream rests.
        return y, history[:, valid : valid + self.past].clone()


class CausalTransposedConv(nn.Module):
    """Transposed convolution of ELU(x): ``[B, C, T]`` to ``[B, C', T * stride]``.

    The kernel is two strides long. What an input adds beyond its own ``stride`` outputs goes to those of the
    next input: output never waits. ``weight`` is ``[C, 2 * stride, C']``, which a step uses as a matrix, as
    it lies in memory.
    """

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        # Every output sums two taps of all channels.
        bound = (2 * channels) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels, 2 * stride, out_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences, silence before the first sample."""
        y = F.conv_transpose1d(F.elu(x), self.weight.transpose(1, 2), self.bias, self.stride)
        return y[..., : -self.stride]

    def rows_after(self, valid: int) -> int:
        """Rows that ``valid`` rows become."""
        return valid * self.stride

    def start(self, batch: int) -> Tensor:
        """Nothing to add to the first outputs, ``[B, stride * C']``."""
        return self.weight.new_zeros(batch, self.stride * self.weight.shape[2])

    def step(self, x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """Rows ``[B, T, C]`` to ``[B, T', C']``; the state is what the last real row adds to later ones."""
        rows = whole_rows(valid)
        own, tails = (elu(fit_rows(x, rows)) @ self.weight.flatten(1)).chunk(2, dim=-1)
        carried = torch.cat([state.unsqueeze(1), tails], dim=1)
        y = (own + carried[:, :-1]).view(len(x), rows * self.stride, -1) + self.bias
        return y, carried[:, valid].clone()


def add_weight_norm(module: nn.Module) -> None:
    """Split the weights of the convolutions in ``module`` into length and direction, in place, for training.

    Weight normalization (Salimans and Kingma 2016) with a length for each output channel, in transposed
    convolutions for each input channel. The module computes what it did before.
    """
    for part in _convolutions(module):
        if not parametrize.is_parametrized(part, "weight"):
            weight_norm(part)


def fold_weight_norm(module: nn.Module) -> None:
    """Undo :func:`add_weight_norm`, in place: plain weights, as models are stored and run.

    The module computes what it did before; one without weight normalization is left as it is.
    """
    for part in _convolutions(module):
        if parametrize.is_parametrized(part, "weight"):
            weight = part.weight.detach()
            # Not torch's own removal: it changes the class, which deep copies of a module share.
            part.__class__ = parametrize.type_before_parametrizations(part)
            del part.parametrizations
            part.weight = nn.Parameter(weight)


def _convolutions(module: nn.Module) -> list[CausalConv | CausalTransposedConv]:
    return [part for part in module.modules() if isinstance(part, CausalConv | CausalTransposedConv)]
