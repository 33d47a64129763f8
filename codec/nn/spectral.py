"""The default network: a learned transform codec.

Causal MDCT, ConvNeXt blocks at frame rate and a projection to the latent; back through a projection, ConvNeXt
blocks and one real coefficient and one log gain for each MDCT bin. A linear path beside each stack lets the
network start as a transform codec and learn what that misses. The idea was published as MDCTCodec (Jiang et
al. 2024, arXiv 2411.00464).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.config import CodecConfig, SpectralConfig
from codec.nn.layers import ConvNextStack, State
from codec.nn.linear import Linear
from codec.nn.mdct import Mdct

# Speech at normal level has MDCT bins of about exp(-4.5), give or take exp(2.5): this maps their logarithm to
# unit scale.
_LOG_FLOOR, _LOG_MEAN, _LOG_SPREAD = 1e-5, -4.5, 2.5
# exp(12) times a unit coefficient is far beyond full scale: the limit only keeps untrained or damaged latents
# finite.
_MAX_LOG_GAIN = 12.0
# Compressed bins of speech are about 0.3, latents 1, and bins over their initial gain 0.3 again.
_ENCODER_PATH_GAIN, _DECODER_PATH_GAIN, _STACK_SHARE = 3.0, 0.3, 0.1


class SpectralEncoder(nn.Module):
    """Audio ``[B, F * hop]`` to latents ``[B, D, F]``."""

    def __init__(self, config: CodecConfig, network: SpectralConfig) -> None:
        super().__init__()
        self.compression = network.compression
        self.mdct = Mdct(config.hop, network.overlap)
        self.project_in = Linear(2 * config.hop, network.width)
        self.stack = ConvNextStack(network.width, network.blocks, network.kernel, network.expansion)
        self.project_out = Linear(network.width, config.dim)
        self.linear_path = Linear(config.hop, config.dim, bias=False)
        _start_as_selection(self.linear_path, _ENCODER_PATH_GAIN)
        _shrink(self.project_out)

    def forward(self, audio: Tensor) -> Tensor:
        """See :class:`codec.nn.network.Encoder`."""
        with torch.autocast(audio.device.type, enabled=False):
            compressed, features = self._features(self.mdct(audio.float()))
        h = self.stack(self.project_in(features))
        with torch.autocast(audio.device.type, enabled=False):
            return self._latents(h.float(), compressed)

    def start(self, batch: int) -> tuple[State, ...]:
        """The states of the transform and of the stack."""
        return self.mdct.start(batch), self.stack.start(batch)

    def step(
        self, audio: Tensor, state: tuple[Tensor, tuple[State, ...]], valid: int
    ) -> tuple[Tensor, State]:
        """See :class:`codec.nn.network.Encoder`."""
        bins, mdct_state = self.mdct.step(audio, state[0], valid)
        compressed, features = self._features(bins)
        h, stack_state = self.stack.step(self.project_in(features), state[1], valid)
        return self._latents(h, compressed), (mdct_state, stack_state)

    def _features(self, bins: Tensor) -> tuple[Tensor, Tensor]:
        magnitude = bins.abs()
        compressed = bins.sign() * magnitude.pow(self.compression)
        logarithm = ((magnitude + _LOG_FLOOR).log() - _LOG_MEAN) / _LOG_SPREAD
        return compressed, torch.cat([compressed, logarithm], dim=-1)

    def _latents(self, h: Tensor, compressed: Tensor) -> Tensor:
        z: Tensor = self.project_out(h) + self.linear_path(compressed)
        return z.transpose(1, 2)


class SpectralDecoder(nn.Module):
    """Latents ``[B, D, F]`` to audio ``[B, F * hop]``, ``delay`` samples late."""

    def __init__(self, config: CodecConfig, network: SpectralConfig) -> None:
        super().__init__()
        self.mdct = Mdct(config.hop, network.overlap)
        self.delay = self.mdct.delay
        # Every depthwise convolution looks back, and the lapped transform reaches into the next frame.
        self.memory = network.blocks * (network.kernel - 1) + 1
        self.project_in = Linear(config.dim, network.width)
        self.stack = ConvNextStack(network.width, network.blocks, network.kernel, network.expansion)
        self.coefficient = Linear(network.width, config.hop)
        self.log_gain = Linear(network.width, config.hop)
        self.linear_path = Linear(config.dim, config.hop, bias=False)
        nn.init.constant_(self.log_gain.bias, _LOG_MEAN + _LOG_SPREAD)
        _start_as_selection(self.linear_path, _DECODER_PATH_GAIN)
        _shrink(self.coefficient)

    def forward(self, z: Tensor) -> Tensor:
        """See :class:`codec.nn.network.Decoder`."""
        rows = z.transpose(1, 2)
        h = self.stack(self.project_in(rows))
        with torch.autocast(z.device.type, enabled=False):
            return self.mdct.inverse(self._coefficients(h.float(), rows.float()))

    def start(self, batch: int) -> tuple[State, ...]:
        """The states of the stack and of the inverse transform."""
        return self.stack.start(batch), self.mdct.start(batch)

    def step(self, z: Tensor, state: tuple[tuple[State, ...], Tensor], valid: int) -> tuple[Tensor, State]:
        """See :class:`codec.nn.network.Decoder`."""
        rows = z.transpose(1, 2).contiguous()
        h, stack_state = self.stack.step(self.project_in(rows), state[0], valid)
        audio, mdct_state = self.mdct.inverse_step(self._coefficients(h, rows), state[1], valid)
        return audio, (stack_state, mdct_state)

    def _coefficients(self, h: Tensor, rows: Tensor) -> Tensor:
        coefficient: Tensor = self.coefficient(h) + self.linear_path(rows)
        gain: Tensor = self.log_gain(h).clamp(max=_MAX_LOG_GAIN).exp()
        return coefficient * gain


def _start_as_selection(path: nn.Linear, gain: float) -> None:
    """Let a linear path pass the lowest bins: the network starts as a transform codec of the low band.

    Measured after 300 steps without quantizer, 256 wide: PESQ-WB 1.27 and SNR 2.9 dB, against 1.08 and -0.9
    dB from random paths.
    """
    with torch.no_grad():
        path.weight.copy_(gain * torch.eye(*path.weight.shape))


def _shrink(layer: nn.Linear) -> None:
    """Let a stack begin quietly beside its linear path."""
    with torch.no_grad():
        layer.weight.mul_(_STACK_SHARE)
