"""Vector quantizers on plain vectors, and the bottleneck that sets one between encoder and decoder."""

from codec.quantize.bottleneck import Bottleneck, Quantized, build_bottleneck
from codec.quantize.residual import ResidualVQ

__all__ = ["Bottleneck", "Quantized", "ResidualVQ", "build_bottleneck"]
