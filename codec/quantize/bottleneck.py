"""The bottleneck protocol: what the codec knows of a quantizer, on latents ``[B, D, F]``."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.quantize.additive import AdditiveVQ
from codec.quantize.codebooks import CodebookUsage
from codec.quantize.product import ProductVQ
from codec.quantize.quantizer import Quantized, VectorQuantizer
from codec.quantize.residual import ResidualVQ

__all__ = ["Bottleneck", "Quantized", "build_bottleneck"]

# By the ``kind`` of their configuration, whose other keys are their arguments.
_QUANTIZERS: dict[str, type[VectorQuantizer]] = {
    "residual": ResidualVQ,
    "additive": AdditiveVQ,
    "product": ProductVQ,
}


class Bottleneck(nn.Module):
    """Puts a vector quantizer on ``[N, D]`` between encoder and decoder, always in float32."""

    def __init__(self, quantizer: VectorQuantizer) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.dim = quantizer.dim
        self.num_codebooks = quantizer.num_codebooks
        self.codebook_size = quantizer.codebook_size
        self.prefix_decodable = quantizer.prefix_decodable

    @property
    def usage(self) -> CodebookUsage:
        """How often the words were chosen since the last replacement."""
        return self.quantizer.usage

    @property
    def bits_per_code(self) -> int:
        """Bits of one code before entropy coding."""
        return (self.codebook_size - 1).bit_length()

    def forward(self, z: Tensor, n: Tensor | None = None) -> Quantized:
        """The training pass, by the estimator of the quantizer.

        Args:
            z: normalized latents ``[B, D, F]``.
            n: codebooks for each example ``[B]``, or None for all.
        """
        with torch.autocast(z.device.type, enabled=False):
            limits = None if n is None else n.repeat_interleave(z.shape[2])
            z_q, codes, loss, stats = self.quantizer(_to_rows(z.float()), limits)
        return Quantized(_from_rows(z_q, z.shape[0]), _from_rows(codes, z.shape[0]), loss, stats)

    def quantize(self, z: Tensor, n: Tensor | None = None) -> Tensor:
        """What a decoder gets of z ``[B, D, F]`` with ``n`` ``[B]`` codebooks of each example: ``[B, D, F]``.

        For training; see :meth:`codec.quantize.quantizer.VectorQuantizer.quantize`.
        """
        with torch.autocast(z.device.type, enabled=False):
            limits = None if n is None else n.repeat_interleave(z.shape[2])
            return _from_rows(self.quantizer.quantize(_to_rows(z.float()), limits), z.shape[0])

    def encode(self, z: Tensor, n: int | Tensor | None = None) -> Tensor:
        """Codes ``[B, M, F]`` int64 of z ``[B, D, F]``, -1 where not sent; n is a number or ``[B, F]``."""
        with torch.autocast(z.device.type, enabled=False):
            limits = n.flatten() if isinstance(n, Tensor) else n
            return _from_rows(self.quantizer.encode(_to_rows(z.float()), limits), z.shape[0])

    def decode(self, codes: Tensor) -> Tensor:
        """Latents ``[B, D, F]`` of codes ``[B, M, F]``; fewer codebooks than M are a prefix."""
        return _from_rows(self.quantizer.decode(_to_rows(codes)), codes.shape[0])

    def profile(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quick codes ``[B, M, F]`` of z ``[B, D, F]`` and the mean square errors ``[B, M + 1, F]`` float64
        that their prefixes leave; see :meth:`codec.quantize.quantizer.VectorQuantizer.profile`."""
        with torch.autocast(z.device.type, enabled=False):
            codes, errors = self.quantizer.profile(_to_rows(z.float()))
        return _from_rows(codes, z.shape[0]), _from_rows(errors, z.shape[0])

    def fit_kmeans(self, z: Tensor, seed: int = 0) -> None:
        """Start the codebooks on real latents z ``[B, D, F]``, those of the first rank on all ranks."""
        self.quantizer.fit_kmeans(_to_rows(z), seed=seed)
        # A GPU adds in any order, so ranks may differ in the last bit, and from there on for good.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for value in self.quantizer.state_dict().values():
                torch.distributed.broadcast(value, src=0)

    def replace_unused(self, threshold: float, rows_per_word: int) -> list[Tensor]:
        """Replace hardly used words; see :func:`codec.quantize.codebooks.replace_unused`."""
        return self.quantizer.replace_unused(threshold, rows_per_word)


def build_bottleneck(config: BottleneckConfig | AdditiveConfig | ProductConfig, dim: int) -> Bottleneck:
    """The bottleneck that ``config`` describes, for latents of ``dim`` numbers."""
    options = dataclasses.asdict(config)
    quantizer = _QUANTIZERS[options.pop("kind")]
    return Bottleneck(quantizer(dim=dim, **options))


def _to_rows(z: Tensor) -> Tensor:
    return z.transpose(1, 2).reshape(-1, z.shape[1])


def _from_rows(rows: Tensor, batch: int) -> Tensor:
    return rows.view(batch, -1, rows.shape[1]).transpose(1, 2)
