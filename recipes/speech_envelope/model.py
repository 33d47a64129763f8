"""What is learned: bands of the spectrum, their quantized levels, and how spectral lines are distributed.

The codec of Bäckström et al. (Interspeech 2021) in the form of Vali and Bäckström (IEEE Access 2022, ICASSP
2023). Of a frame's lines X [320] the band energies are y = A X^2 [16]; log y is vector-quantized; the
decoder's power envelope is s = B y' [320], and X / sqrt(s) follows a mixture of logistic distributions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from codec.quantize import VectorQuantizer

NUM_LINES = 320
NUM_BANDS = 16
# Power that a line has at least, that of the rounding to 16 bits with some room: silence has a finite level.
POWER_FLOOR = 1e-9
# Weights that learning starts from where a band and a line are far apart.
_FAR = 1e-4


class LogisticMixture(nn.Module):
    """A mixture of ``components`` logistic distributions round zero, of variance one.

    Parameters: ``logits`` and ``log_scales``, both ``[components]``; a factor that all scales share has no
    effect, since the envelope carries the level.
    """

    def __init__(self, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.log_scales = nn.Parameter(torch.linspace(-1.5, 0.5, components))

    def shares_and_scales(self) -> tuple[Tensor, Tensor]:
        """Weights that sum to one, and scales, both ``[components]``."""
        shares, scales = torch.softmax(self.logits, dim=0), self.log_scales.exp()
        # A logistic distribution of scale 1 has the variance pi^2 / 3.
        variance = (shares * scales.square()).sum() * (math.pi**2 / 3)
        return shares, scales * torch.rsqrt(variance)

    def log2_density(self, z: Tensor) -> Tensor:
        """Logarithms to base 2 of the density at z ``[...]``."""
        shares, scales = self.shares_and_scales()
        u = z.abs().unsqueeze(-1) / scales
        parts = (shares / scales).log() - u - 2.0 * torch.log1p(torch.exp(-u))
        return torch.logsumexp(parts, dim=-1) / math.log(2.0)


class EnvelopeModel(nn.Module):
    """All that is learned: band analysis A, quantizer, band synthesis B and the mixture.

    A and B are exponentials of ``log_analysis`` ``[320, 16]`` and ``log_synthesis`` ``[16, 320]``, so that
    energies stay positive. A starts with bands of equal width, B with straight lines between their centres.

    Args:
        quantizer: of vectors of 16 numbers.
        components: of the mixture.
    """

    def __init__(self, quantizer: VectorQuantizer, components: int) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.mixture = LogisticMixture(components)
        width = NUM_LINES / NUM_BANDS
        lines = (torch.arange(NUM_LINES) + 0.5).unsqueeze(1)
        centres = (torch.arange(NUM_BANDS) + 0.5) * width
        away = (lines - centres).abs() / width
        # Beyond the outermost centres the level stays as it is there.
        inside = (lines.clamp(float(centres[0]), float(centres[-1])) - centres).abs() / width
        self.log_analysis = nn.Parameter((((away < 0.5).float()).clamp_min(_FAR) / width).log())
        self.log_synthesis = nn.Parameter((1.0 - inside).clamp_min(_FAR).log().t().contiguous())

    def levels(self, lines: Tensor) -> Tensor:
        """Logarithms of the band energies ``[N, 16]`` of lines ``[N, 320]``."""
        return torch.log(lines.square() @ self.log_analysis.exp() + POWER_FLOOR)

    def power(self, levels: Tensor) -> Tensor:
        """The power envelope ``[N, 320]`` of levels ``[N, 16]``."""
        return levels.exp() @ self.log_synthesis.exp() + POWER_FLOOR

    def forward(self, lines: Tensor) -> tuple[Tensor, Tensor]:
        """The training pass over lines ``[N, 320]``.

        Returns:
            the differential entropy of a line in bits, a scalar: minus the likelihood of the scaled lines
            with the Jacobian of the scaling, ``log2(s) / 2``, without which a small envelope would win; and
            the quantizer's own loss.
        """
        found = self.quantizer(self.levels(lines))
        power = self.power(found.z_q)
        bits = 0.5 * torch.log2(power) - self.mixture.log2_density(lines * torch.rsqrt(power))
        return bits.mean(), found.loss
