"""The model: encoder, bottleneck and decoder, built from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.bitstream.entropy import EntropyCoder
from codec.config import CodecConfig
from codec.nn.network import Decoder, Encoder, build_networks
from codec.quantize.bottleneck import Quantized, build_bottleneck


class CodecModel(nn.Module):
    """One codec. It holds weights and no stream: streams own their state, so one model serves many.

    Attributes:
        entropy: codes payloads in fewer bits; None where the model has no tables for that.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder_network, self.decoder_network = build_networks(config)
        self.bottleneck = build_bottleneck(config.bottleneck, config.dim)
        self.entropy: EntropyCoder | None = None

    @property
    def encoder(self) -> Encoder:
        """Audio to latents."""
        return cast(Encoder, self.encoder_network)

    @property
    def decoder(self) -> Decoder:
        """Latents to audio."""
        return cast(Decoder, self.decoder_network)

    @property
    def delay(self) -> int:
        """Samples by which the decoder's output lags the encoder's input, beside the framing."""
        return self.decoder.delay

    @property
    def latency(self) -> int:
        """Algorithmic latency in samples: the hop that is gathered before it can be coded, and the delay."""
        return self.config.hop + self.delay

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.config.sample_rate / self.config.hop

    def num_frames(self, num_samples: int) -> int:
        """Frames that carry ``num_samples`` samples through the codec and its delay; none for no samples."""
        return -(-(num_samples + self.delay) // self.config.hop) if num_samples else 0

    def forward(
        self,
        audio: Tensor,
        n: Tensor | None = None,
        quantize: bool = True,
        channel: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Quantized | None]:
        """The whole-sequence pass of training.

        Args:
            audio: ``[B, T]``.
            n: codebooks for each example ``[B]``, or None for all.
            quantize: False sends the latents on as they are (the warm start).
            channel: what quantized latents ``[B, D, F]`` go through on their way to the decoder.

        Returns:
            the reconstruction ``[B, T]``, aligned with ``audio``, and what the bottleneck told.
        """
        z = self._latents(audio)
        quantized = self.bottleneck(z, n) if quantize else None
        received = z if quantized is None else quantized.z_q
        if channel is not None and quantized is not None:
            received = channel(received)
        return self._aligned(self.decoder(received), audio), quantized

    def from_codes(
        self, audio: Tensor, n: Tensor | None = None, channel: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The training pass of the decoder alone: audio ``[B, T]`` goes through codes, as they are sent.

        Arguments as for `forward`. Returns the reconstruction ``[B, T]``, which depends on the decoder's
        weights alone.
        """
        with torch.no_grad():
            received = self.bottleneck.quantize(self._latents(audio), n)
        if channel is not None:
            received = channel(received)
        return self._aligned(self.decoder(received), audio)

    def _latents(self, audio: Tensor) -> Tensor:
        padding = self.num_frames(audio.shape[1]) * self.config.hop - audio.shape[1]
        return self.normalize(self.encoder(F.pad(audio, (0, padding))))

    def _aligned(self, output: Tensor, audio: Tensor) -> Tensor:
        return output[:, self.delay : self.delay + audio.shape[1]]

    def normalize(self, z: Tensor) -> Tensor:
        """Bring each latent frame of ``[B, D, F]`` to zero mean and unit variance.

        NSVQ has no commitment loss that would hold the scale of the latents: free, they drift away from the
        codebooks.
        """
        with torch.autocast(z.device.type, enabled=False):
            return F.layer_norm(z.float().transpose(1, 2), (self.config.dim,)).transpose(1, 2)
