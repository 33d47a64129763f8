"""What an encoder and a decoder are to the rest of the codec."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from codec.config import CodecConfig, SpectralConfig
from codec.nn.layers import State


class Encoder(Protocol):
    """Audio to latents, causally."""

    def __call__(self, audio: Tensor) -> Tensor:
        """Training: audio ``[B, F * hop]`` to latents z ``[B, D, F]``."""

    def start(self, batch: int) -> State:
        """The state before the first sample."""

    def step(self, audio: Tensor, state: State, valid: int) -> tuple[Tensor, State]:
        """Audio ``[B, F * hop]``, ``valid`` frames of it real, to z ``[B, D, F]`` and the state after."""


class Decoder(Protocol):
    """Latents to audio, causally; sample i of the output belongs to sample ``i - delay`` of the input.

    Attributes:
        delay: in samples.
        memory: frames behind its own that the latents of a frame still change; None if it is all of them.
    """

    delay: int
    memory: int | None

    def __call__(self, z: Tensor) -> Tensor:
        """Training: z ``[B, D, F]`` to audio ``[B, F * hop]``."""

    def start(self, batch: int) -> State:
        """The state before the first frame."""

    def step(self, z: Tensor, state: State, valid: int) -> tuple[Tensor, State]:
        """z ``[B, D, F]``, ``valid`` of them real, to audio ``[B, F * hop]`` and the state after."""


def build_networks(config: CodecConfig) -> tuple[nn.Module, nn.Module]:
    """The encoder and the decoder that ``config.network`` describes, with fresh weights."""
    if isinstance(config.network, SpectralConfig):
        from codec.nn.spectral import SpectralDecoder, SpectralEncoder

        return SpectralEncoder(config, config.network), SpectralDecoder(config, config.network)
    from codec.nn.seanet import SeanetDecoder, SeanetEncoder

    return SeanetEncoder(config, config.network), SeanetDecoder(config, config.network)
