"""What is played for frames that are lost."""

from __future__ import annotations

import torch
from torch import Tensor


def fade_to_silence(audio: Tensor, frames: int) -> Tensor:
    """Turn the frame that would come next into a concealment of ``frames`` frames.

    Args:
        audio: one hop of decoded audio ``[hop]`` that continues the signal before the gap.
        frames: length of the gap, at least 1.

    Returns:
        ``[frames * hop]``: the hop, faded out along a raised cosine, then silence.
    """
    hop = audio.shape[0]
    ramp = 0.5 * (1 + torch.cos(torch.pi * (torch.arange(hop, dtype=audio.dtype) + 0.5) / hop))
    return torch.cat([audio * ramp.to(audio.device), audio.new_zeros((frames - 1) * hop)])
