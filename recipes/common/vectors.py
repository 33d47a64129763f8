"""Training a quantizer on plain vectors, with no network around it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.quantize import VectorQuantizer
from recipes.common.care import replace_words

# Vectors whose codes and decoded values are held at a time.
_BLOCK_ROWS = 50_000


@dataclass(frozen=True)
class Training:
    """How a quantizer learns: ``updates`` of ``batch`` vectors by Adam after a k-means start.

    ``learning_rate`` is for vectors of mean square 1 and falls linearly to zero. Words are replaced every
    ``replace_every`` updates until ``replace_until`` of them are over, by the rule of
    `codec.quantize.codebooks.replace_unused`.
    """

    updates: int
    batch: int
    learning_rate: float
    replace_every: int
    replace_until: float
    replace_threshold: float
    rows_per_word: int


def train_on_vectors(
    quantizer: VectorQuantizer, x: Tensor, training: Training, seed: int
) -> dict[str, float]:
    """Fit a quantizer to vectors x ``[N, D]`` by the mean square error of what its estimator lets through.

    Args:
        quantizer: its codebooks are set anew.
        x: the vectors; batches are drawn from them.
        training: see `Training`.
        seed: of the k-means start, the batches and the estimator's noise.

    Returns:
        ``train_seconds``, CPU time of this thread, and ``replaced``, how many words were replaced.
    """
    start = time.thread_time()
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    quantizer.fit_kmeans(x, seed=seed)
    rate = training.learning_rate * float(x.square().mean().sqrt())
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=rate, fused=True)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1.0 - update / training.updates)
    replaced = 0
    for update in range(1, training.updates + 1):
        batch = x[torch.randint(len(x), (training.batch,), generator=draws)]
        found = quantizer(batch)
        loss = (found.z_q - batch).square().mean() + found.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        if update % training.replace_every == 0 and update <= training.replace_until * training.updates:
            replaced += replace_words(
                quantizer, optimizer, training.replace_threshold, training.rows_per_word
            )
    # From here on the additive search may keep its tables.
    quantizer.requires_grad_(False)
    return {"train_seconds": round(time.thread_time() - start, 2), "replaced": replaced}


def code_vectors(quantizer: VectorQuantizer, x: Tensor) -> Tensor:
    """What the codes of vectors ``[N, D]`` decode to ``[N, D]``."""
    with torch.no_grad():
        return torch.cat([quantizer.decode(quantizer.encode(block)) for block in torch.split(x, _BLOCK_ROWS)])
