"""Train the toy autoencoder with one estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codec.quantize import ResidualVQ
from codec.quantize.codebooks import perplexity
from recipes.common.care import replace_words, start_uniform
from recipes.estimators.autoencoder import TEST_SEED, Autoencoder, Mixture, error
from recipes.estimators.study import Setting, Size, Study


def train(setting: Setting, study: Study, size: Size) -> dict[str, Any]:
    """Train and measure one run; runs of one seed start from the same network and see the same vectors.

    Returns:
        what `measure` tells of fresh vectors, and ``curve``, the same by ``updates``.
    """
    torch.manual_seed(setting.seed)
    training, mixture, care = size.training, Mixture(study), setting.form == "care"
    model = Autoencoder(study, training.latent)
    quantizer = ResidualVQ(training.latent, 1, 2**size.bits, setting.estimator)
    start_uniform(quantizer, -1 / quantizer.codebook_size, 1 / quantizer.codebook_size, setting.seed)
    parameters = [*model.parameters(), *quantizer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=study.learning_rate, fused=True)
    draws = torch.Generator().manual_seed(setting.seed)
    test = mixture.draw(training.test_vectors, torch.Generator().manual_seed(TEST_SEED))
    warm_updates = training.warm_updates if care else 0
    curve = []
    for update in range(1, training.updates + 1):
        if care and update == warm_updates + 1:
            with torch.no_grad():
                latents = model.encoder(mixture.draw(training.kmeans_vectors, draws))
            quantizer.fit_kmeans(latents, seed=setting.seed)
        _step(
            model,
            quantizer if update > warm_updates else None,
            optimizer,
            mixture.draw(training.batch, draws),
        )
        replacing = care and warm_updates < update <= study.replace_until * training.updates
        if replacing and update % training.replace_every == 0:
            replace_words(quantizer, optimizer, study.replace_threshold, study.rows_per_word)
        if update % training.curve_every == 0 and update > warm_updates:
            curve.append({"updates": update, **measure(model, quantizer, test)})
    return {**measure(model, quantizer, test), "curve": curve}


def _step(
    model: Autoencoder, quantizer: ResidualVQ | None, optimizer: torch.optim.Optimizer, x: Tensor
) -> None:
    z = model.encoder(x)
    if quantizer is None:
        loss = error(model.decoder(z), x)
    else:
        found = quantizer(z)
        loss = error(model.decoder(found.z_q), x) + found.loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def measure(model: Autoencoder, quantizer: ResidualVQ, test: Tensor) -> dict[str, float]:
    """By the hard rule on vectors ``[N, D]``.

    Returns:
        ``test_error``, the mean square error over the mean square of the vectors; ``perplexity``; ``unused``,
        the share of words that none chooses.
    """
    codes = quantizer.encode(model.encoder(test))
    given = model.decoder(quantizer.decode(codes))
    counts = torch.bincount(codes.flatten(), minlength=quantizer.codebook_size)
    return {
        "test_error": float(error(given, test) / test.square().mean()),
        "perplexity": float(perplexity(counts)),
        "unused": float((counts == 0).float().mean()),
    }
