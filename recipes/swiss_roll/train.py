"""One run of the swiss roll study."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codec.quantize import ResidualVQ
from codec.quantize.codebooks import perplexity
from recipes.common.care import replace_words, start_uniform
from recipes.swiss_roll.study import Setting, Size, Study, swiss_roll

# The points that are measured on, alike for all runs and in none of their trainings.
_TEST_SEED = 10_000


def train(setting: Setting, study: Study, size: Size) -> dict[str, Any]:
    """Train one codebook on the mean square error and measure it on fresh points.

    Runs of one seed start from the same words and see the same points.

    Returns:
        what `measure` tells, ``words`` ``[K, 2]`` at the end, and ``curve``, the measures by ``updates``.
    """
    quantizer = ResidualVQ(2, 1, study.codebook_size, setting.estimator)
    start_uniform(quantizer, *getattr(study, setting.start), seed=setting.seed)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=study.learning_rate, fused=True)
    draws = torch.Generator().manual_seed(setting.seed)
    torch.manual_seed(setting.seed)
    test = swiss_roll(size.test_points, study.noise, torch.Generator().manual_seed(_TEST_SEED))
    curve = [{"updates": 0, **measure(quantizer, test)}]
    for update in range(1, size.updates + 1):
        x = swiss_roll(size.batch, study.noise, draws)
        found = quantizer(x)
        loss = (found.z_q - x).square().mean() + found.loss
        # Moving averages need no gradient.
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        replacing = setting.replacement and update <= study.replace_until * size.updates
        if replacing and update % size.replace_every == 0:
            replace_words(quantizer, optimizer, study.replace_threshold, study.rows_per_word)
        if update % size.curve_every == 0:
            curve.append({"updates": update, **measure(quantizer, test)})
    words = [[round(value, 4) for value in word] for word in quantizer.words[0].tolist()]
    return {**measure(quantizer, test), "words": words, "curve": curve}


def measure(quantizer: ResidualVQ, test: Tensor) -> dict[str, float]:
    """Measure a codebook by the hard rule on points ``[N, 2]``.

    Returns:
        ``error``, the mean square of a coordinate; ``dead``, how many words are never the nearest;
        ``perplexity``.
    """
    codes = quantizer.encode(test)
    with torch.no_grad():
        error = (quantizer.decode(codes) - test).square().mean()
    counts = torch.bincount(codes.flatten(), minlength=quantizer.codebook_size)
    return {
        "error": float(error),
        "dead": int((counts == 0).sum()),
        "perplexity": float(perplexity(counts)),
    }
