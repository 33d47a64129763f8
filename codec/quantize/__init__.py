"""Vector quantizers on plain vectors, and the bottleneck that sets one between encoder and decoder."""

from codec.quantize.additive import AdditiveVQ
from codec.quantize.bottleneck import Bottleneck, build_bottleneck
from codec.quantize.product import ProductVQ
from codec.quantize.quantizer import Quantized, VectorQuantizer
from codec.quantize.residual import ResidualVQ

__all__ = [
    "AdditiveVQ",
    "Bottleneck",
    "ProductVQ",
    "Quantized",
    "ResidualVQ",
    "VectorQuantizer",
    "build_bottleneck",
]
