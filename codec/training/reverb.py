"""Rooms that training segments are heard in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Before the first reflection comes, the sound has gone a metre further.
_FIRST_REFLECTION_SECONDS = 0.003


def room_responses(noise: Tensor, seconds: Tensor, ratio_db: Tensor, sample_rate: int) -> Tensor:
    """Impulse responses ``[B, L]``: the direct sound at sample 0, then reflections that die away.

    Reflections are noise under an exponential envelope (Polack 1988, as told by Jot et al., "Analysis and
    synthesis of room reverberation based on a statistical time-frequency model", AES 1997). A response has
    the energy 1, so that white sound keeps its level.

    Args:
        noise: normal draws ``[B, L]``.
        seconds: how long each takes to fall by 60 dB ``[B]``.
        ratio_db: energy of the direct sound beside that of the reflections ``[B]``; infinity for none.
        sample_rate: in Hz.
    """
    times = torch.arange(noise.shape[1], device=noise.device) / sample_rate
    tail = noise * torch.exp(-3.0 * math.log(10.0) * times / seconds.unsqueeze(1))
    tail[:, : 1 + round(_FIRST_REFLECTION_SECONDS * sample_rate)] = 0.0
    share = 1.0 / (1.0 + 10.0 ** (ratio_db / 10.0))
    energy = tail.square().sum(dim=1).clamp_min(torch.finfo(tail.dtype).tiny)
    responses = tail * (share / energy).sqrt().unsqueeze(1)
    responses[:, 0] = (1.0 - share).sqrt()
    return responses


def reverberate(x: Tensor, responses: Tensor) -> Tensor:
    """Segments ``[B, T]`` through responses ``[B, L]``: ``[B, T]``, with silence before the first sample."""
    # Of a power of two: other lengths may take several times as long.
    length = 1 << (x.shape[1] + responses.shape[1] - 2).bit_length()
    spectrum = torch.fft.rfft(x, length) * torch.fft.rfft(responses, length)
    heard: Tensor = torch.fft.irfft(spectrum, length)[:, : x.shape[1]]
    return heard
