"""Gradients of the estimators against finite differences of the losses that they stand for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from codec.quantize import ResidualVQ
from codec.quantize.codebooks import nearest_words
from recipes.estimators.autoencoder import TEST_SEED, Autoencoder, Mixture, error
from recipes.estimators.study import Setting, Size, Study


class Point:
    """An autoencoder at one moment of its training, in float64, with all that a loss depends on.

    Losses are functions of one flat ``parameter``: the words, then a matrix and an offset that the latents go
    through before they are quantized, the identity here. These stand for the encoder.
    """

    def __init__(self, setting: Setting, study: Study, size: Size) -> None:
        torch.manual_seed(setting.seed)
        config, mixture = study.gradients, Mixture(study)
        model = Autoencoder(study, config.latent)
        _warm_up(model, mixture, study, setting.seed)
        fresh = torch.Generator().manual_seed(TEST_SEED + setting.seed)
        vectors = mixture.draw(size.vectors, fresh)
        with torch.no_grad():
            latents = model.encoder(vectors)
        quantizer = ResidualVQ(config.latent, 1, config.codebook_size, setting.estimator)
        quantizer.fit_kmeans(latents, seed=setting.seed)
        _displace(quantizer, latents, config.displacement)
        self.quantizer, self.decoder = quantizer.double(), model.decoder.double().requires_grad_(False)
        self.vectors, self.latents = vectors.double(), latents.double()
        matrix = torch.eye(config.latent, dtype=torch.float64)
        offset = torch.zeros(config.latent, dtype=torch.float64)
        words = quantizer.words.detach()
        self.num_word_numbers = words.numel()
        self.parameter = torch.cat([words.flatten(), matrix.flatten(), offset])

    def hard_loss(self, parameter: Tensor, rows: slice) -> Tensor:
        """What inference has, on some of the vectors: the error of the nearest words, decoded."""
        words, x = self._words_and_latents(parameter, rows)
        return error(self.decoder(words[nearest_words(x, words)]), self.vectors[rows])

    def training_loss(self, parameter: Tensor, rows: slice, noise_seed: int) -> Tensor:
        """What a training with the estimator sees, with the noise of a seed."""
        torch.manual_seed(noise_seed)
        words, x = self._words_and_latents(parameter, rows)
        found = torch.func.functional_call(self.quantizer, {"words": words.unsqueeze(0)}, (x,))
        return error(self.decoder(found.z_q), self.vectors[rows]) + found.loss

    def gradient(self, rows: slice, noise_seed: int) -> Tensor:
        """The estimator's gradient to the parameter, as a training takes it."""
        parameter = self.parameter.clone().requires_grad_()
        return torch.autograd.grad(self.training_loss(parameter, rows, noise_seed), parameter)[0]

    def _words_and_latents(self, parameter: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        dim = self.latents.shape[1]
        words, matrix, offset = parameter.split([self.num_word_numbers, dim * dim, dim])
        return words.view(-1, dim), self.latents[rows] @ matrix.view(dim, dim).t() + offset


def measure_gradients(setting: Setting, study: Study, size: Size) -> dict[str, dict[str, float]]:
    """Hold an estimator's mean gradient against finite differences, for the words and for the encoder.

    Returns:
        for each of the two ``cosine`` with and ``length`` over the differences of the loss of inference;
        ``own_cosine`` with those of the loss that training sees; ``noise``, the deviation of one batch's
        gradient from the mean over that mean; ``differences_cosine``, how well the differences on two halves
        of the vectors agree.
    """
    point = Point(setting, study, size)
    step, everything = study.gradients.step, slice(None)
    halves = [slice(0, size.vectors // 2), slice(size.vectors // 2, size.vectors)]
    differences = [
        finite_differences(lambda at, rows=half: point.hard_loss(at, rows), point.parameter, step)
        for half in halves
    ]
    own = finite_differences(lambda at: point.training_loss(at, everything, 0), point.parameter, step / 100)
    mean = torch.stack([point.gradient(everything, seed) for seed in range(size.draws)]).mean(dim=0)
    starts = range(0, size.vectors - study.gradients.batch + 1, study.gradients.batch)
    batches = torch.stack([point.gradient(slice(at, at + study.gradients.batch), at) for at in starts])
    found = {}
    cut = point.num_word_numbers
    for name, part in (("words", slice(0, cut)), ("encoder", slice(cut, None))):
        true = (differences[0][part] + differences[1][part]) / 2
        deviation = (batches[:, part] - mean[part]).square().sum(dim=1).mean().sqrt()
        found[name] = {
            "cosine": _cosine(mean[part], true),
            "length": float(mean[part].norm() / true.norm()),
            "own_cosine": _cosine(point.gradient(everything, 0)[part], own[part]),
            "noise": float(deviation / mean[part].norm()),
            "differences_cosine": _cosine(differences[0][part], differences[1][part]),
        }
    return found


@torch.no_grad()
def finite_differences(loss: Callable[[Tensor], Tensor], at: Tensor, step: float) -> Tensor:
    """Central differences of a loss by each number of a flat parameter."""
    slopes = torch.empty_like(at)
    for index in range(len(at)):
        ends = []
        for sign in (1, -1):
            moved = at.clone()
            moved[index] += sign * step
            ends.append(loss(moved))
        slopes[index] = (ends[0] - ends[1]) / (2 * step)
    return slopes


def _warm_up(model: Autoencoder, mixture: Mixture, study: Study, seed: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=study.learning_rate, fused=True)
    draws = torch.Generator().manual_seed(seed)
    for _ in range(study.gradients.warm_updates):
        x = mixture.draw(study.gradients.batch, draws)
        optimizer.zero_grad()
        error(model.decoder(model.encoder(x)), x).backward()
        optimizer.step()


@torch.no_grad()
def _displace(quantizer: ResidualVQ, latents: Tensor, share: float) -> None:
    """Move words off their centres, where the true gradient to them is next to nothing."""
    root = error(quantizer.decode(quantizer.encode(latents)), latents).sqrt()
    quantizer.words.add_(share * root * torch.randn_like(quantizer.words))


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
