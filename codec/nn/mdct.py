"""The modified discrete cosine transform, causal: frames are made of past samples only.

A lapped orthonormal transform (Princen, Johnson and Bradley 1987) of step N = ``hop`` whose window overlaps
its neighbour by L = ``overlap`` samples: sine slopes of L samples around a flat top of N - L. L = N is the
sine window; a shorter overlap (Vorbis and Opus call it low-overlap) has less delay. Both directions are one
matrix product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from codec.products import Product


class Mdct(nn.Module):
    """Causal MDCT: frame f holds samples ``[f N - L, f N + N)``.

    The forward transform needs ``overlap`` past samples as its state. The inverse completes samples
    ``overlap`` late: its output at index i is the input at index ``i - delay``.
    """

    basis: Tensor

    def __init__(self, hop: int, overlap: int) -> None:
        super().__init__()
        self.hop = hop
        self.overlap = overlap
        self.delay = overlap
        self._analysis, self._synthesis = Product(), Product()
        self.register_buffer("basis", mdct_basis(hop, overlap), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio ``[B, F * hop]`` to coefficients ``[B, F, hop]``, silence before the first sample."""
        return self.step(audio, self.start(audio.shape[0]), audio.shape[1] // self.hop)[0]

    def start(self, batch: int) -> Tensor:
        """The state before the first sample, ``[B, overlap]``: the past samples, or the tail to add to."""
        return self.basis.new_zeros(batch, self.overlap)

    def step(self, audio: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """The next audio ``[B, F * hop]``, ``valid`` frames of it real, to coefficients ``[B, F, hop]``."""
        history = torch.cat([state, audio], dim=1)
        frames = history.unfold(1, self.hop + self.overlap, self.hop)
        end = valid * self.hop
        bins = self._analysis(frames.contiguous(), self.basis.t())
        return bins, history[:, end : end + self.overlap].clone()

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Coefficients ``[B, F, hop]`` to audio ``[B, F * hop]``, ``delay`` samples late."""
        state = self.start(coefficients.shape[0])
        return self.inverse_step(coefficients, state, coefficients.shape[1])[0]

    def inverse_step(self, coefficients: Tensor, state: Tensor, valid: int) -> tuple[Tensor, Tensor]:
        """The next frames ``[B, F, hop]``, ``valid`` of them real, to audio ``[B, F * hop]``."""
        segments = self._synthesis(coefficients, self.basis)
        body, tails = segments[..., : self.hop], segments[..., self.hop :]
        carried = torch.cat([state.unsqueeze(1), tails], dim=1)
        lapped = body[..., : self.overlap] + carried[:, :-1]
        audio = torch.cat([lapped, body[..., self.overlap :]], dim=-1)
        return audio.flatten(1), carried[:, valid].clone()


def mdct_window(hop: int, overlap: int) -> Tensor:
    """The window ``[hop + overlap]`` in float64: sine slopes round a flat top, power complementary."""
    rise = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / overlap)
    return torch.cat([rise, torch.ones(hop - overlap, dtype=torch.float64), rise.flip(0)])


def mdct_basis(hop: int, overlap: int) -> Tensor:
    """The windowed, orthonormal cosines ``[hop + overlap, hop]`` in float32."""
    samples = torch.arange(hop + overlap, dtype=torch.float64) + (hop - overlap) / 2
    bins = torch.arange(hop, dtype=torch.float64)
    phase = math.pi / hop * (samples.unsqueeze(1) + 0.5 + hop / 2) * (bins + 0.5)
    return (mdct_window(hop, overlap).unsqueeze(1) * math.sqrt(2.0 / hop) * torch.cos(phase)).float()
