"""The bottleneck protocol: what the codec knows of a quantizer, on latents ``[B, D, F]``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.config import BottleneckConfig
from codec.quantize.codebooks import CodebookUsage, replace_unused
from codec.quantize.estimators import nsvq
from codec.quantize.residual import ResidualVQ


class Quantized(NamedTuple):
    """What a training pass of a bottleneck gives.

    ``z_q`` ``[B, D, F]`` goes to the decoder, ``codes`` are ``[B, M, F]`` int64 with -1 where not sent,
    ``loss`` is a scalar to add (zero for
    NSVQ), ``stats`` are detached scalars to log.
    """

    z_q: Tensor
    codes: Tensor
    loss: Tensor
    stats: dict[str, Tensor]


class Bottleneck(nn.Module):
    """Puts a vector quantizer on ``[N, D]`` between encoder and decoder, always in float32."""

    def __init__(self, quantizer: ResidualVQ) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.usage = CodebookUsage(quantizer.num_codebooks, quantizer.codebook_size)
        self.dim = quantizer.dim
        self.num_codebooks = quantizer.num_codebooks
        self.codebook_size = quantizer.codebook_size
        self.prefix_decodable = quantizer.prefix_decodable

    @property
    def bits_per_code(self) -> int:
        """Bits of one code before entropy coding."""
        return (self.codebook_size - 1).bit_length()

    def forward(self, z: Tensor, n: Tensor | None = None) -> Quantized:
        """Training by noise substitution on the total error.

        Args:
            z: normalized latents ``[B, D, F]``.
            n: codebooks for each example ``[B]``, or None for all.
        """
        with torch.autocast(z.device.type, enabled=False):
            rows = _to_rows(z.float())
            limits = None if n is None else n.repeat_interleave(z.shape[2])
            codes = self.quantizer.encode(rows.detach(), limits, skip_finished=True)
            self.usage.add(codes)
            quantized = self.quantizer.decode(codes)
            z_q = _from_rows(nsvq(rows, quantized), z.shape[0])
            error = (
                rows.detach() - quantized.detach()
            ).square().mean() / rows.detach().square().mean().clamp_min(1e-12)
        return Quantized(z_q, _from_rows(codes, z.shape[0]), error.new_zeros(()), {"latent_error": error})

    def encode(self, z: Tensor, n: int | Tensor | None = None) -> Tensor:
        """Codes ``[B, M, F]`` int64 of z ``[B, D, F]``, -1 where not sent; n is a number or ``[B, F]``."""
        with torch.autocast(z.device.type, enabled=False):
            limits = n.flatten() if isinstance(n, Tensor) else n
            return _from_rows(self.quantizer.encode(_to_rows(z.float()), limits), z.shape[0])

    def decode(self, codes: Tensor) -> Tensor:
        """Latents ``[B, D, F]`` of codes ``[B, M, F]``; fewer codebooks than M are a prefix."""
        return _from_rows(self.quantizer.decode(_to_rows(codes)), codes.shape[0])

    def fit_kmeans(self, z: Tensor, seed: int = 0) -> None:
        """Start the codebooks on real latents z ``[B, D, F]``, those of the first rank on all ranks."""
        self.quantizer.fit_kmeans(_to_rows(z), seed=seed)
        # A GPU adds in any order, so ranks may differ in the last bit, and from there on for good.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(self.quantizer.words.data, src=0)

    def replace_unused(self, threshold: float, rows_per_word: int) -> list[Tensor]:
        """Replace hardly used words; see :func:`codec.quantize.codebooks.replace_unused`."""
        return replace_unused(self.quantizer.words.data, self.usage, threshold, rows_per_word)


def build_bottleneck(config: BottleneckConfig, dim: int) -> Bottleneck:
    """The bottleneck that ``config`` describes, for latents of ``dim`` numbers."""
    return Bottleneck(ResidualVQ(dim, config.num_codebooks, config.codebook_size))


def _to_rows(z: Tensor) -> Tensor:
    return z.transpose(1, 2).reshape(-1, z.shape[1])


def _from_rows(rows: Tensor, batch: int) -> Tensor:
    return rows.view(batch, -1, rows.shape[1]).transpose(1, 2)
