"""Small configurations of both families of networks."""

from __future__ import annotations

from codec.config import BottleneckConfig, CodecConfig, SeanetConfig, SpectralConfig

_BOTTLENECK = BottleneckConfig(num_codebooks=4, codebook_size=16)


def spectral(overlap: int = 16) -> CodecConfig:
    """A spectral network with a hop of 32 samples."""
    network = SpectralConfig(width=32, blocks=2, overlap=overlap)
    return CodecConfig(name="tiny", hop=32, dim=16, network=network, bottleneck=_BOTTLENECK)


def seanet(**changes: object) -> CodecConfig:
    """A seanet network with a hop of 40 samples and an LSTM."""
    network = SeanetConfig(**{"filters": 8, "strides": (2, 4, 5), **changes})  # type: ignore[arg-type]
    return CodecConfig(name="tiny", hop=40, dim=16, network=network, bottleneck=_BOTTLENECK)


SOUNDSTREAM = seanet(
    dilations=(1, 3, 9), residual_kernel=7, last_kernel=3, compress=1, lstm_layers=0, true_skip=True
)
NETWORKS = {
    "spectral": spectral(),
    "spectral, full overlap": spectral(overlap=32),
    "seanet": seanet(),
    "seanet without LSTM": SOUNDSTREAM,
}
