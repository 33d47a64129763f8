"""Hum of the mains that training segments are heard in."""

from __future__ import annotations

import torch
from torch import Tensor

HARMONICS = 6
DRAWS = 1 + 2 * HARMONICS  # of a hum: its frequency, then levels and phases of its harmonics

_MAINS_HERTZ = (50.0, 60.0)


def mains_hum(draws: Tensor, num_samples: int, sample_rate: int) -> Tensor:
    """Hum at 50 or 60 Hz and its harmonics, at an rms of 1: ``[B, num_samples]``.

    The k-th harmonic has between 0 and 1 / k of what the fundamental can have.

    Args:
        draws: uniform in [0, 1), ``[B, DRAWS]``.
        num_samples: length of each.
        sample_rate: in Hz.
    """
    low, high = _MAINS_HERTZ
    order = torch.arange(1, HARMONICS + 1, device=draws.device)
    hertz = torch.where(draws[:, :1] < 0.5, low, high) * order
    level = draws[:, 1 : 1 + HARMONICS] / order
    times = torch.arange(num_samples, device=draws.device) / sample_rate
    turns = hertz.unsqueeze(2) * times + draws[:, 1 + HARMONICS :].unsqueeze(2)
    hum = (level.unsqueeze(2) * torch.sin(2.0 * torch.pi * turns)).sum(dim=1)
    return hum / hum.square().mean(dim=1, keepdim=True).sqrt().clamp_min(torch.finfo(hum.dtype).tiny)
