"""The bitrate controller: how many codebooks each frame sends."""

from __future__ import annotations

import torch
from torch import Tensor

from codec.rate.targets import codebook_bitrate, codebooks_for_bitrate

__all__ = ["ConstantRate", "codebook_bitrate", "codebooks_for_bitrate"]


class ConstantRate:
    """Sends the same number of codebooks in every frame."""

    def __init__(self, num_codebooks: int) -> None:
        self.num_codebooks = num_codebooks

    def choose(self, z: Tensor, frame_energy: Tensor, bits_spent: int) -> Tensor:
        """Codebooks ``[F]`` for the next frames."""
        return torch.full((z.shape[-1],), self.num_codebooks, dtype=torch.int64)
