"""One run of the image study: train a VQ-VAE, measure it by the hard rule."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from codec.quantize import ResidualVQ
from codec.quantize.codebooks import perplexity
from recipes.common.care import replace_words, start_uniform
from recipes.image_vqvae.images import Images
from recipes.image_vqvae.measure import count_words, mean_square_error, measure
from recipes.image_vqvae.network import VqVae
from recipes.image_vqvae.study import Setting, Study, Training, build_quantizer

# Beam of the residual search that is measured beside the greedy one.
_VARIANT_BEAM = 16


def train(
    setting: Setting, study: Study, training: Training, images: Images, device: torch.device, bf16: bool
) -> dict[str, Any]:
    """Train and measure one run.

    The loss is the mean square error over the variance of the pixels, plus that of the estimator. Runs of one
    seed start from the same network and see the same images. With ``bf16`` the convolutions train in it;
    measured is in float32.

    Returns:
        what `measure` tells of all test images; ``variants`` of the search on the same codebooks; ``curve``,
        see `Trainer.run`; ``bf16`` and ``cpu_seconds``.
    """
    started = time.process_time()
    trainer = Trainer(setting, study, training, images, device, bf16)
    curve = trainer.run()
    return {
        **measure(trainer.model, images.test, device),
        "variants": _variants(trainer.model, images.test, device),
        "curve": curve,
        "bf16": bf16,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


class Trainer:
    """The updates of one run; arguments as for `train`, ``model`` is what it trains."""

    def __init__(
        self,
        setting: Setting,
        study: Study,
        training: Training,
        images: Images,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self.setting, self.training, self.images = setting, training, images
        self.device, self.bf16 = device, bf16
        torch.manual_seed(setting.seed)
        network = study.network
        self.quantizer = build_quantizer(setting, study, training.train_beam)
        self.model = VqVae(
            self.quantizer, network.channels, network.residual_channels, network.residual_units
        )
        start_uniform(self.quantizer, -1 / setting.codebook_size, 1 / setting.codebook_size, setting.seed)
        self.model.to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=training.learning_rate, fused=True)
        self._loss_scale = 1 / pixel_variance(images.train)
        self._draws = torch.Generator().manual_seed(setting.seed)
        self._warm_updates = training.warm_updates if setting.start == "kmeans" else 0
        self._since_point: dict[str, list[Tensor]] = defaultdict(list)

    def run(self) -> list[dict[str, float]]:
        """Train; returns points of the curves, by number of ``updates``.

        A point has the means since the one before of the training error ``train_error`` and of the
        batches' ``perplexity``, and ``test_error``, that of a few test images by the hard rule; the last two
        only once the quantizer is in use.
        """
        training, points = self.training, []
        order = torch.randperm(len(self.images.test), generator=torch.Generator().manual_seed(0))
        shown = self.images.test[order[: training.curve_images]]
        for update in range(1, training.updates + 1):
            if self._warm_updates and update == self._warm_updates + 1:
                self.model.fit_kmeans(self._batch(training.kmeans_images), self.setting.seed)
            quantized = update > self._warm_updates
            self._step(self._batch(training.batch), quantized)
            if quantized and self._replaces(update):
                replace_words(
                    self.quantizer, self.optimizer, training.replace_threshold, training.rows_per_word
                )
            if update % training.curve_every == 0:
                point = {name: torch.stack(since).mean().item() for name, since in self._since_point.items()}
                if quantized:
                    point["test_error"] = mean_square_error(self.model, shown, self.device)
                points.append({"updates": update, **point})
                self._since_point.clear()
        return points

    def _step(self, batch: Tensor, quantized: bool) -> None:
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            if quantized:
                reconstruction, found = self.model(batch)
                loss = found.loss
                words = count_words(found.codes, self.setting.codebook_size)
                self._since_point["perplexity"].append(perplexity(words).mean())
            else:
                reconstruction = self.model.unquantized(batch)
        error = (reconstruction.float() - batch).square().mean()
        (self._loss_scale * error + loss).backward()
        self.optimizer.step()
        self._since_point["train_error"].append(error.detach())

    def _replaces(self, update: int) -> bool:
        training = self.training
        wanted = self.setting.replacement and update <= training.replace_until * training.updates
        return wanted and update % training.replace_every == 0

    def _batch(self, count: int) -> Tensor:
        chosen = torch.randint(len(self.images.train), (count,), generator=self._draws)
        return as_input(self.images.train[chosen].to(self.device))


def _variants(model: VqVae, test: Tensor, device: torch.device) -> dict[str, dict[str, float]]:
    """The residual codebooks searched with a beam, which the decoder does not notice."""
    quantizer = model.bottleneck.quantizer
    if not isinstance(quantizer, ResidualVQ) or quantizer.num_codebooks == 1:
        return {}
    quantizer.beam = _VARIANT_BEAM
    return {f"beam {_VARIANT_BEAM}": measure(model, test, device)}


def as_input(images: Tensor) -> Tensor:
    """uint8 images ``[B, 3, H, W]`` as the network's float32 input, -0.5 to 0.5."""
    return (images.float() / 255 - 0.5).contiguous(memory_format=torch.channels_last)


def pixel_variance(images: Tensor) -> float:
    """The variance of uint8 pixels on the scale from 0 to 1."""
    counts = torch.bincount(images.flatten(), minlength=256).double()
    values, total = torch.arange(256).double() / 255, counts.sum()
    mean = (counts * values).sum() / total
    return float((counts * (values - mean).square()).sum() / total)
