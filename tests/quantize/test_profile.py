"""How the error falls from codebook to codebook, as rate control sees it."""

from __future__ import annotations

import pytest
import torch

from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.quantize import build_bottleneck

SIZES = {"num_codebooks": 4, "codebook_size": 16}
KINDS: list[BottleneckConfig | AdditiveConfig | ProductConfig] = [
    BottleneckConfig(**SIZES, beam=1),
    BottleneckConfig(**SIZES, beam=4),
    AdditiveConfig(**SIZES),
    ProductConfig(**SIZES),
    ProductConfig(**SIZES, rotation=True),
]


@pytest.mark.parametrize("config", KINDS)
def test_errors_are_those_of_the_prefixes_and_never_rise(
    config: BottleneckConfig | AdditiveConfig | ProductConfig,
) -> None:
    torch.manual_seed(0)
    bottleneck = build_bottleneck(config, dim=8)
    bottleneck.fit_kmeans(torch.randn(2, 8, 500))
    # Some vectors lie so near the mean that a further word only hurts.
    z = torch.cat([torch.randn(2, 8, 50), 0.01 * torch.randn(2, 8, 50)], dim=2)
    codes, errors = bottleneck.profile(z)
    assert codes.shape == (2, 4, 100)
    assert errors.shape == (2, 5, 100)
    assert (errors.diff(dim=1) <= 0).all()
    prefixes = []
    for n in range(5):
        shortened = torch.where(torch.arange(4)[:, None] < n, codes, -1)
        prefixes.append((bottleneck.decode(shortened) - z).square().mean(dim=1))
    torch.testing.assert_close(errors.float(), torch.stack(prefixes, dim=1).cummin(dim=1).values)
    found = (bottleneck.decode(bottleneck.encode(z)) - z).square().mean()
    assert found <= prefixes[-1].mean() * 1.0001, "the search finds what the quick pass finds, or better"
