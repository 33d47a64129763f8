"""The smoke recipe, whole: a tiny codec learns speech, with its discriminator, from clips of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from codec.training.config import read_recipe
from codec.training.fit import fit
from codec.training.module import CodecTraining
from codec.training.segments import SegmentBatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMOKE = Path(__file__).resolve().parents[2] / "recipes" / "smoke"


class Recorder(lightning.Callback):
    """Keeps the mel loss and the perplexity of the first codebook, and the last batch."""

    def __init__(self) -> None:
        self.mel: list[float] = []
        self.perplexity = 0.0
        self.batch: SegmentBatch | None = None

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        # The counts start anew where words are replaced, so a round is complete just before.
        every = module.recipe.training.quantization.replace_every
        if module.quantizing and (module.steps + 1) % every == 0:
            self.perplexity = float(module.model.bottleneck.usage.perplexity[0])

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        self.mel.append(float(module.metrics["loss/mel"]))
        self.batch = batch


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[CodecTraining, Recorder]:
    recorder = Recorder()
    recipe = read_recipe(SMOKE / "config.yaml")
    run = tmp_path_factory.mktemp("smoke")
    module = fit(recipe, [SMOKE / "clips"], run, callbacks=[recorder], device="cpu", progress=False)
    return module, recorder


def test_the_mel_loss_falls(trained: tuple[CodecTraining, Recorder]) -> None:
    mel = trained[1].mel
    first, last = sum(mel[:20]) / 20, sum(mel[-20:]) / 20
    print(f"mean mel loss: {first:.3f} in the first 20 steps, {last:.3f} in the last 20")
    assert last <= 0.8 * first


def test_the_first_codebook_is_in_use(trained: tuple[CodecTraining, Recorder]) -> None:
    print(f"perplexity of the first codebook: {trained[1].perplexity:.1f}")
    assert trained[1].perplexity > 16


def test_the_adversarial_gradient_reaches_the_encoder(trained: tuple[CodecTraining, Recorder]) -> None:
    module, recorder = trained
    assert recorder.batch is not None
    output, _ = module.model(recorder.batch.input)
    loss = module.objective(recorder.batch.target, output, adversarial=True)["adversarial"]
    weights = {n: p for n, p in module.model.encoder_network.named_parameters() if p.ndim > 1}
    gradients = torch.autograd.grad(loss, list(weights.values()))
    for name, gradient in zip(weights, gradients, strict=True):
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name
