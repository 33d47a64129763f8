"""Toy vectors, and an autoencoder for them with a quantized latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recipes.estimators.study import Study

# The mixture is alike for all seeds.
_MIXTURE_SEED = 0
# Points that k-means and the test see are others than those of the training.
TEST_SEED = 10_000


class Mixture:
    """Vectors ``[N, dim]`` of about unit variance: Gaussian sources through a random two-layer network."""

    def __init__(self, study: Study) -> None:
        draws = torch.Generator().manual_seed(_MIXTURE_SEED)
        self._sources = study.sources
        self._inner = torch.randn(study.sources, study.hidden, generator=draws) / study.sources**0.5
        self._outer = torch.randn(study.hidden, study.dim, generator=draws) * 1.6 / study.hidden**0.5

    def draw(self, count: int, draws: torch.Generator) -> Tensor:
        """``count`` fresh vectors."""
        sources = torch.randn(count, self._sources, generator=draws)
        return (sources @ self._inner).tanh() @ self._outer


class Autoencoder(nn.Module):
    """Two layers to a latent of ``latent`` numbers, two layers back."""

    def __init__(self, study: Study, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(study.dim, study.hidden), nn.GELU(), nn.Linear(study.hidden, latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, study.hidden), nn.GELU(), nn.Linear(study.hidden, study.dim)
        )


def error(given: Tensor, wanted: Tensor) -> Tensor:
    """The mean square error of a number."""
    return (given - wanted).square().mean()
