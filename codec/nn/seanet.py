"""SEANet, the classical family: strided convolutions over samples with residual units between them.

SoundStream (Zeghidour et al. 2021, arXiv 2107.03312, figure 3) and EnCodec (Défossez et al. 2022, arXiv
2210.13438, section 3.1) are two settings of it; ``recipes/soundstream_24k`` and ``recipes/encodec_24k`` hold
them. Every layer is causal and gives its output without waiting for later input, so the decoder has no delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from codec.config import CodecConfig, SeanetConfig
from codec.nn.convolution import CausalConv, CausalTransposedConv
from codec.nn.layers import State
from codec.nn.recurrent import ResidualLstm
from codec.nn.rows import fit_rows


class _Layer(Protocol):
    """Both passes of a layer that may change the rate of time; shapes as in :mod:`codec.nn.convolution`."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def rows_after(self, valid: int) -> int: ...

    def start(self, batch: int) -> State: ...

    def step(self, x: Tensor, state: State, valid: int) -> tuple[Tensor, State]: ...


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution: ``[B, C, T]`` to ``[B, C, T]``.

    Their result is added to x with ``true_skip``, otherwise to a pointwise convolution of x.
    """

    def __init__(self, channels: int, dilation: int, network: SeanetConfig) -> None:
        super().__init__()
        hidden = channels // network.compress
        self.dilated = CausalConv(channels, hidden, network.residual_kernel, dilation=dilation)
        self.pointwise = CausalConv(hidden, channels, 1)
        self.shortcut = None if network.true_skip else CausalConv(channels, channels, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences."""
        skip = x if self.shortcut is None else self.shortcut(x)
        added: Tensor = skip + self.pointwise(self.dilated(x))
        return added

    def rows_after(self, valid: int) -> int:
        """As many rows as before."""
        return valid

    def start(self, batch: int) -> Tensor:
        """The state of the dilated convolution, the only one that looks back."""
        return self.dilated.start(batch)

    def step(self, x: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """Rows ``[B, T, C]``, of which ``valid`` are real."""
        y, state = self.dilated.step(x, state, valid)
        y = _pointwise_step(self.pointwise, y, valid)
        skip = fit_rows(x, y.shape[1]) if self.shortcut is None else _pointwise_step(self.shortcut, x, valid)
        return skip + y, state


class LayerSequence(nn.ModuleList):
    """Layers one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences."""
        for layer in self._layers():
            x = layer(x)
        return x

    def start(self, batch: int) -> tuple[State, ...]:
        """One state a layer."""
        return tuple(layer.start(batch) for layer in self._layers())

    def step(self, x: Tensor, state: tuple[State, ...], valid: int) -> tuple[Tensor, tuple[State, ...]]:
        """Rows ``[B, T, C]``, of which ``valid`` are real."""
        after = []
        for layer, before in zip(self._layers(), state, strict=True):
            x, layer_state = layer.step(x, before, valid)
            after.append(layer_state)
            valid = layer.rows_after(valid)
        return x, tuple(after)

    def _layers(self) -> Iterator[_Layer]:
        return cast(Iterator[_Layer], iter(self))


class SeanetEncoder(nn.Module):
    """Audio ``[B, F * hop]`` to latents ``[B, D, F]``."""

    def __init__(self, config: CodecConfig, network: SeanetConfig) -> None:
        super().__init__()
        self.hop = config.hop
        channels = network.filters
        layers: list[nn.Module] = [CausalConv(1, channels, network.kernel, activate=False)]
        for stride in network.strides:
            layers += _residual_units(channels, network)
            layers.append(CausalConv(channels, 2 * channels, 2 * stride, stride))
            channels *= 2
        self.body = LayerSequence([*layers, *_lstm(channels, network)])
        self.last = CausalConv(channels, config.dim, network.last_kernel)

    def forward(self, audio: Tensor) -> Tensor:
        """See :class:`codec.nn.network.Encoder`."""
        h = self.body(audio.unsqueeze(1))
        with torch.autocast(audio.device.type, enabled=False):
            z: Tensor = self.last(h.float())
        return z

    def start(self, batch: int) -> tuple[State, ...]:
        """The states of the body and of the last convolution."""
        return self.body.start(batch), self.last.start(batch)

    def step(
        self, audio: Tensor, state: tuple[tuple[State, ...], Tensor], valid: int
    ) -> tuple[Tensor, State]:
        """See :class:`codec.nn.network.Encoder`."""
        h, body_state = self.body.step(audio.unsqueeze(-1), state[0], valid * self.hop)
        rows, last_state = self.last.step(h, state[1], valid)
        z = fit_rows(rows, audio.shape[1] // self.hop).transpose(1, 2)
        return z, (body_state, last_state)


class SeanetDecoder(nn.Module):
    """Latents ``[B, D, F]`` to audio ``[B, F * hop]``: the encoder's layers mirrored, without delay."""

    delay = 0
    memory: int | None

    def __init__(self, config: CodecConfig, network: SeanetConfig) -> None:
        super().__init__()
        self.hop = config.hop
        channels = network.filters * 2 ** len(network.strides)
        layers: list[nn.Module] = [CausalConv(config.dim, channels, network.kernel, activate=False)]
        layers += _lstm(channels, network)
        for stride in reversed(network.strides):
            layers.append(CausalTransposedConv(channels, channels // 2, stride))
            channels //= 2
            layers += _residual_units(channels, network)
        self.body = LayerSequence(layers)
        self.last = CausalConv(channels, 1, network.kernel)
        self.memory = None if network.lstm_layers else _last_touched([*layers, self.last]) // config.hop

    def forward(self, z: Tensor) -> Tensor:
        """See :class:`codec.nn.network.Decoder`."""
        h = self.body(z)
        with torch.autocast(z.device.type, enabled=False):
            audio: Tensor = self.last(h.float())
        return audio.squeeze(1)

    def start(self, batch: int) -> tuple[State, ...]:
        """The states of the body and of the last convolution."""
        return self.body.start(batch), self.last.start(batch)

    def step(self, z: Tensor, state: tuple[tuple[State, ...], Tensor], valid: int) -> tuple[Tensor, State]:
        """See :class:`codec.nn.network.Decoder`."""
        rows = z.transpose(1, 2).contiguous()
        h, body_state = self.body.step(rows, state[0], valid)
        audio, last_state = self.last.step(h, state[1], valid * self.hop)
        return fit_rows(audio, z.shape[2] * self.hop).squeeze(-1), (body_state, last_state)


def _pointwise_step(layer: CausalConv, x: Tensor, valid: int) -> Tensor:
    """A step of a convolution that does not look back, and so has no state to keep."""
    return layer.step(x, layer.start(len(x)), valid)[0]


def _last_touched(layers: list[nn.Module]) -> int:
    """The last output row that row 0 of the input changes, through layers without recurrence."""
    row = 0
    for layer in layers:
        if isinstance(layer, CausalTransposedConv):
            row = (row + 2) * layer.stride - 1
        elif isinstance(layer, ResidualUnit):
            row += layer.dilated.span - 1
        elif isinstance(layer, CausalConv):
            row += layer.span - 1
    return row


def _residual_units(channels: int, network: SeanetConfig) -> list[nn.Module]:
    return [ResidualUnit(channels, dilation, network) for dilation in network.dilations]


def _lstm(channels: int, network: SeanetConfig) -> list[nn.Module]:
    return [ResidualLstm(channels, network.lstm_layers)] if network.lstm_layers else []
