"""The bitrate controller: how many codebooks each frame sends."""

from __future__ import annotations

import torch
from torch import Tensor

from codec.errors import UsageError
from codec.model import CodecModel


def codebook_bitrate(model: CodecModel) -> float:
    """Bits a second that one codebook of one channel costs before entropy coding."""
    return model.frame_rate * model.bottleneck.bits_per_code


def codebooks_for_bitrate(model: CodecModel, bitrate: float, channels: int) -> int:
    """The largest number of codebooks whose raw indices fit a target.

    Args:
        model: the codec.
        bitrate: kbit/s over all channels.
        channels: how many there are.

    Raises:
        UsageError: the target lies below one codebook or above all of them.
    """
    unit = codebook_bitrate(model) * channels / 1000.0
    highest = unit * model.bottleneck.num_codebooks
    # A millionth of slack: 1.5 kbit/s is three codebooks also where the quotient comes out as 2.9999999.
    count = int(bitrate / unit * (1 + 1e-6)) if unit <= bitrate * (1 + 1e-6) <= highest * (1 + 2e-6) else 0
    if count < 1:
        raise UsageError(
            f"the bitrate must lie between {unit:g} and {highest:g} kbit/s for {channels} channel(s), "
            f"not {bitrate:g}"
        )
    return min(count, model.bottleneck.num_codebooks)


class ConstantRate:
    """Sends the same number of codebooks in every frame."""

    def __init__(self, num_codebooks: int) -> None:
        self.num_codebooks = num_codebooks

    def choose(self, z: Tensor, frame_energy: Tensor, bits_spent: int) -> Tensor:
        """Codebooks ``[F]`` for the next frames.

        Args:
            z: their latents ``[D, F]``.
            frame_energy: mean square of their audio ``[F]``, which the normalized latents no longer tell.
            bits_spent: payload bits of the stream so far.
        """
        return torch.full((z.shape[-1],), self.num_codebooks, dtype=torch.int64)
