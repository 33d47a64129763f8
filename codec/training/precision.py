"""Which arithmetic a training step is faster in on this machine."""

from __future__ import annotations

import time

import torch
from torch import nn


def bf16_is_faster(device: torch.device, width: int = 384, rows: int = 512, rounds: int = 8) -> bool:
    """Time a pointwise layer, forward and backward, with and without bf16 autocast.

    Some CPUs have bf16 matrix units and gain much, others emulate bf16 and lose more: only a measurement
    tells.
    """
    layer = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)).to(device)
    x = torch.ones(rows, width, device=device)

    def seconds(enabled: bool) -> float:
        """Of the fastest round, with or without bf16."""
        best = float("inf")
        for _ in range(rounds):
            start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
                y = layer(x)
            y.float().sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(True) < seconds(False)
