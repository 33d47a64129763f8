"""A tiny codec with fixed random weights, for tests of everything that does not depend on sound quality."""

from __future__ import annotations

import torch

from codec.config import BottleneckConfig, CodecConfig, SpectralConfig
from codec.model import CodecModel

SMALL = CodecConfig(
    name="small",
    dim=16,
    network=SpectralConfig(width=32, blocks=2),
    bottleneck=BottleneckConfig(num_codebooks=4, codebook_size=16),
)


def small_model(seed: int = 0, config: CodecConfig = SMALL) -> CodecModel:
    """The model of `config` with weights that depend on `seed` alone, its codebooks fitted to noise."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CodecModel(config)
        noise = 0.1 * torch.randn(4, 40 * config.hop)
        with torch.no_grad():
            model.bottleneck.fit_kmeans(model.normalize(model.encoder(noise)))
    return model.requires_grad_(False).eval()
