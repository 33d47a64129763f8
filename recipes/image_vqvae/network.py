"""The VQ-VAE of van den Oord et al. 2017, in the layout of its usual PyTorch form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.quantize import Bottleneck, Quantized, VectorQuantizer


class ResidualUnit(nn.Module):
    """Adds to its input what two convolutions without bias make of it: ``[B, C, H, W]`` to the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of x and what the layers give."""
        total: Tensor = x + self.layers(x)
        return total


class VqVae(nn.Module):
    """Encoder, quantizer and decoder of images ``[B, 3, H, W]`` with values around zero.

    Two convolutions of stride 2 lead to latents ``[B, dim, H / 4, W / 4]``, each of which is quantized. The
    convolutions may run in bf16, the quantizer is always float32.

    Args:
        quantizer: for vectors of ``dim`` numbers.
        channels: of the layers at the latents' resolution.
        residual_channels: inside the residual units.
        residual_units: on each side.
    """

    def __init__(
        self,
        quantizer: VectorQuantizer,
        channels: int = 128,
        residual_channels: int = 32,
        residual_units: int = 2,
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, channels // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            *(ResidualUnit(channels, residual_channels) for _ in range(residual_units)),
            nn.ReLU(),
            nn.Conv2d(channels, quantizer.dim, 1),
        )
        self.bottleneck = Bottleneck(quantizer)
        self.decoder = nn.Sequential(
            nn.Conv2d(quantizer.dim, channels, 3, padding=1),
            *(ResidualUnit(channels, residual_channels) for _ in range(residual_units)),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels // 2, 3, 4, stride=2, padding=1),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """The training pass: the reconstruction ``[B, 3, H, W]`` and what the quantizer gave."""
        z = self.encoder(images)
        quantized = self.bottleneck(z.flatten(2))
        return self.decoder(_as_latents(quantized.z_q, z)), quantized

    def unquantized(self, images: Tensor) -> Tensor:
        """The reconstruction ``[B, 3, H, W]`` without the quantizer, for a warm start."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction

    @torch.no_grad()
    def fit_kmeans(self, images: Tensor, seed: int) -> None:
        """Start the codebooks by k-means on the latents of some images."""
        self.bottleneck.fit_kmeans(self.encoder(images).flatten(2), seed=seed)

    @torch.no_grad()
    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """By the hard rule: the reconstruction ``[B, 3, H, W]`` and codes ``[B, M, F]``."""
        z = self.encoder(images)
        codes = self.bottleneck.encode(z.flatten(2))
        return self.decoder(_as_latents(self.bottleneck.decode(codes), z)), codes


def _as_latents(rows: Tensor, z: Tensor) -> Tensor:
    return rows.view(z.shape).contiguous(memory_format=torch.channels_last)
