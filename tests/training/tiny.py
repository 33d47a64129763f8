"""A training so small that a step takes milliseconds, with everything a real one has."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from codec.config import (
    AdditiveConfig,
    BottleneckConfig,
    CodecConfig,
    ProductConfig,
    SpectralConfig,
    from_mapping,
)
from codec.nn.discriminators import DiscriminatorConfig
from codec.training.config import AdversarialConfig, Recipe, TrainingConfig
from codec.training.fit import fit
from codec.training.module import CodecTraining

MODEL = CodecConfig(
    name="tiny",
    hop=80,
    dim=8,
    network=SpectralConfig(width=16, blocks=1, expansion=2, kernel=3, overlap=80),
    bottleneck=BottleneckConfig(num_codebooks=3, codebook_size=8),
)
ADVERSARIAL = AdversarialConfig(
    start_step=2,
    every=2,
    discriminator=DiscriminatorConfig(
        waveform_scales=1, waveform_channels=4, waveform_max_channels=8, stft_windows=(128,), stft_channels=2
    ),
)
# k-means comes before step 4; words are looked over in steps 5, 8, 11, ... and all of them judged.
_TRAINING: dict[str, Any] = {
    "max_steps": 14,
    "precision": "fp32",
    "ema_decay": 0.9,
    "optimizer": {"warmup_steps": 2},
    "quantization": {
        "warm_start_steps": 4,
        "kmeans_vectors": 32,
        "replace_every": 3,
        "replace_threshold": 0.9,
        "rows_per_word": 1,
    },
    "losses": {"mel_windows": [256, 128], "mel_bins": [20, 10], "complex_windows": [256]},
    "data": {"segment_seconds": 0.1, "batch_size": 3},
    "validation": {"every": 5, "num_codebooks": [1, 9], "shown": 1},
}


def tiny_recipe(adversarial: bool = True, **training: Any) -> Recipe:
    """The recipe, with some fields of its training replaced."""
    config = from_mapping(TrainingConfig, _TRAINING, "tiny")
    config = dataclasses.replace(config, adversarial=ADVERSARIAL if adversarial else None)
    return Recipe(MODEL, dataclasses.replace(config, **training))


def with_bottleneck(recipe: Recipe, bottleneck: BottleneckConfig | AdditiveConfig | ProductConfig) -> Recipe:
    """The recipe with another bottleneck."""
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, bottleneck=bottleneck))


def tiny_fit(recipe: Recipe, data: Path, run: Path, **options: Any) -> CodecTraining:
    """Train on one thread of the CPU, without a bar."""
    torch.set_num_threads(1)
    return fit(recipe, [data], run, device="cpu", progress=False, **options)
