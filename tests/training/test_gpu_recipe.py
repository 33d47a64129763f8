"""The recipe for half an hour on a GPU: the flagship's model, and all its parts at a small size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from codec.checkpoint import save_model
from codec.config import BottleneckConfig, SpectralConfig
from codec.model import CodecModel
from codec.training.config import Recipe, read_recipe
from codec.training.state import STATE_NAME, averaged_model, initial_model, read_state
from tests.training.test_course import Clock
from tests.training.tiny import ADVERSARIAL, tiny_fit

HERE = Path(__file__).resolve().parents[2] / "recipes" / "speech_16k"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(HERE / "gpu.yaml")


def test_it_trains_the_model_of_the_recipe_on_cpus(recipe: Recipe) -> None:
    shipped = read_recipe(HERE / "finetune.yaml").model
    assert dataclasses.replace(recipe.model, name=shipped.name) == shipped
    with torch.device("meta"):
        model = CodecModel(recipe.model)
    networks = (model.encoder_network, model.decoder_network)
    assert sum(p.numel() for network in networks for p in network.parameters()) <= 15_500_000
    assert model.latency <= 0.04 * recipe.model.sample_rate


def test_a_released_model_of_another_name_starts_it(tmp_path: Path, recipe: Recipe) -> None:
    small = dataclasses.replace(recipe.model, network=SpectralConfig(width=16, blocks=1))
    save_model(CodecModel(dataclasses.replace(small, name="released")), tmp_path)
    assert initial_model(tmp_path, small).config.name == "released"


def test_it_goes_through_its_course_at_a_small_size(tmp_path: Path, clips: Path, recipe: Recipe) -> None:
    """Fewer and narrower layers, fewer and smaller codebooks, two segments a step; six steps a minute."""
    model = dataclasses.replace(
        recipe.model,
        network=SpectralConfig(width=16, blocks=1),
        bottleneck=BottleneckConfig(num_codebooks=3, codebook_size=16, beam=4),
    )
    training = recipe.training
    adversarial = training.adversarial
    assert adversarial is not None
    assert adversarial.discriminator.periods
    discriminator = dataclasses.replace(
        ADVERSARIAL.discriminator, waveform_scales=0, stft_windows=(), periods=(2, 3)
    )
    small = dataclasses.replace(
        training,
        max_minutes=2.0,
        precision="fp32",
        quantization=dataclasses.replace(
            training.quantization, warm_start_steps=2, kmeans_vectors=100, replace_every=3
        ),
        data=dataclasses.replace(training.data, batch_size=2),
        adversarial=dataclasses.replace(adversarial, discriminator=discriminator),
        validation=dataclasses.replace(training.validation, every=8),
    )
    clock = Clock(seconds_a_step=10.0)
    module = tiny_fit(Recipe(model, small), clips, tmp_path, noise=[clips], valid=[clips], callbacks=[clock])
    assert module.steps == 12
    assert module.skipped == 0
    assert clock.judged == [False] * 6 + [True] * 6
    assert module.quantizing
    averaged_model(read_state(tmp_path / STATE_NAME), model)
