"""Codebook care in the studies' own training loops."""

from __future__ import annotations

import torch

from codec.quantize import VectorQuantizer


@torch.no_grad()
def start_uniform(quantizer: VectorQuantizer, low: float, high: float, seed: int) -> None:
    """Set all words to uniform draws from [low, high), also for moving averages."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(quantizer.words.shape, generator=generator)
    quantizer.words.copy_(low + (high - low) * draws)
    if quantizer.averages is not None:
        quantizer.averages.restart(quantizer.words)


@torch.no_grad()
def replace_words(
    quantizer: VectorQuantizer, optimizer: torch.optim.Optimizer, threshold: float, rows_per_word: int
) -> int:
    """Replace hardly used words and forget their moments in the optimizer; returns how many.

    Threshold and rows are those of `codec.quantize.codebooks.replace_unused`. A kept moment would carry the
    new word in the direction that the old one went.
    """
    replaced = quantizer.replace_unused(threshold, rows_per_word)
    moments = optimizer.state.get(quantizer.words, {})
    for index, rows in enumerate(replaced):
        for name in moments.keys() & {"exp_avg", "exp_avg_sq"}:
            moments[name][index, rows] = 0.0
    return sum(len(rows) for rows in replaced)
