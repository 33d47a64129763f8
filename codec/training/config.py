"""Configuration of a training: one yaml file, a recipe, describes a model and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from codec.config import CodecConfig, from_mapping, read_yaml
from codec.errors import UsageError
from codec.training.data import DataConfig
from codec.training.losses import LossConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a cosine decay to ``final_share`` of the learning rate.

    Gradients are clipped to the norm ``clip_norm``; a step whose gradient is not finite is skipped and
    counted. ``weight_decay``
    acts on the matrices of the networks, not on codebooks, biases and scales.
    """

    learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    final_share: float = 0.05
    clip_norm: float = 1.0


@dataclass(frozen=True)
class QuantizationConfig:
    """How the bottleneck is brought in.

    For ``warm_start_steps`` the latents pass as they are; then the codebooks start by k-means on
    ``kmeans_vectors`` real latents. Each
    example trains with a number of codebooks drawn evenly from ``min_codebooks`` to all. Every
    ``replace_every`` steps, until
    ``replace_until`` of the training is over, words used less than ``replace_threshold`` of the average are
    replaced, in
    codebooks whose words had ``rows_per_word`` chances each.
    """

    warm_start_steps: int = 500
    kmeans_vectors: int = 30_000
    min_codebooks: int = 1
    replace_every: int = 100
    replace_until: float = 0.9
    replace_threshold: float = 0.05
    rows_per_word: int = 20


@dataclass(frozen=True)
class TrainingConfig:
    """How long, on what and with what a model is trained.

    ``precision``: "auto" measures at the start whether bf16 autocast is faster than float32. ``ema_decay`` is
    per step, for the averaged
    weights, which are what is validated and exported.
    """

    seed: int = 0
    max_steps: int = 20_000
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    ema_decay: float = 0.999
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise UsageError("max_steps must be positive")


@dataclass(frozen=True)
class Recipe:
    """A model and its training, as ``recipes/*/config.yaml`` holds them."""

    model: CodecConfig
    training: TrainingConfig = TrainingConfig()


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from yaml.

    Raises:
        CodecError: the file cannot be read, or a key or value in it is wrong; the message names both.
    """
    return from_mapping(Recipe, read_yaml(path), str(path))
