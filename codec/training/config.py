"""Configuration of a training: one yaml file, a recipe, describes a model and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml

from codec.config import CodecConfig, from_mapping, read_yaml, to_mapping
from codec.errors import CodecError, UsageError
from codec.nn.discriminators import DiscriminatorConfig
from codec.training.data import DataConfig
from codec.training.losses import LossConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a cosine decay to ``final_share`` of the learning rate.

    The decay takes the last ``decay_share`` of the training. Before, the rate is held: a state from that time
    can be trained for longer with nothing lost, and decay later (Hu et al. 2024, arXiv 2404.06395).
    Gradients are clipped to the norm ``clip_norm``; a step whose gradient is not finite is skipped and
    counted. ``weight_decay`` acts on the matrices of the networks, not on codebooks, biases and scales.
    """

    learning_rate: float = 3e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 200
    final_share: float = 0.05
    decay_share: float = 1.0
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.decay_share <= 1.0:
            raise CodecError(f"decay_share must lie in (0, 1], not {self.decay_share}")


@dataclass(frozen=True)
class QuantizationConfig:
    """How the bottleneck is brought in.

    For ``warm_start_steps`` the latents pass as they are; then the codebooks start by k-means on
    ``kmeans_vectors`` real latents. Each example trains with a number of codebooks drawn evenly from
    ``min_codebooks`` to all. Every ``replace_every`` steps, until ``replace_until`` of the training is over,
    words used less than ``replace_threshold`` of the average are replaced, in codebooks whose words had
    ``rows_per_word`` chances each.
    """

    warm_start_steps: int = 500
    kmeans_vectors: int = 30_000
    min_codebooks: int = 1
    replace_every: int = 100
    replace_until: float = 0.9
    replace_threshold: float = 0.05
    rows_per_word: int = 20

    def __post_init__(self) -> None:
        if self.warm_start_steps < 0 or self.min_codebooks < 1 or self.replace_every < 1:
            raise CodecError(
                "warm_start_steps must not be negative, min_codebooks and replace_every must be positive"
            )


@dataclass(frozen=True)
class AdversarialConfig:
    """Training against a discriminator, from step ``start_step`` on and once ``start_share`` of it is over.

    The weights are those of the codec's hinge loss and of feature matching. The discriminator itself takes a
    step in each ``every``-th step of the codec, by its own AdamW, whose learning rate follows the schedule of
    the codec's, and whose gradients are clipped to ``clip_norm``.
    """

    start_step: int = 0
    start_share: float = 0.0
    every: int = 1
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    clip_norm: float = 10.0
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)

    def __post_init__(self) -> None:
        if self.start_step < 0 or self.every < 1:
            raise CodecError("start_step must not be negative and every must be positive")
        if not 0.0 <= self.start_share <= 1.0:
            raise CodecError(f"start_share must lie in [0, 1], not {self.start_share}")
        if min(self.adversarial_weight, self.feature_weight) < 0:
            raise CodecError("adversarial_weight and feature_weight must not be negative")


@dataclass(frozen=True)
class FrameLossConfig:
    """Losing frames in training, so that the decoder learns to play what concealment makes up.

    In each example, with probability ``examples``, every frame is lost with probability ``rate``.
    """

    examples: float = 0.5
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.examples <= 1.0:
            raise CodecError(f"frame_losses.examples must lie in [0, 1], not {self.examples}")
        if not 0.0 <= self.rate < 1.0:
            raise CodecError(f"frame_losses.rate must lie in [0, 1), not {self.rate}")


@dataclass(frozen=True)
class ValidationConfig:
    """What is measured on the validation list, ``every`` so many steps, with the averaged weights.

    ``num_codebooks``: each of these is measured, what the model lacks counting as all of its codebooks.
    ``shown``: how many of the clips are logged as sound and spectrogram, at the most codebooks.
    """

    every: int = 1000
    num_codebooks: tuple[int, ...] = (3, 6, 12)
    shown: int = 3

    def __post_init__(self) -> None:
        if self.every < 1 or self.shown < 0:
            raise CodecError("every must be positive and shown must not be negative")
        if not self.num_codebooks or min(self.num_codebooks) < 1:
            raise CodecError("num_codebooks must be a list of positive numbers")


@dataclass(frozen=True)
class TrainingConfig:
    """How long, on what and with what a model is trained.

    ``max_minutes``: where given, the length of the training instead of ``max_steps``; all that is said of
    shares of a training, the decay of the learning rate too, then follows the clock.
    ``precision``: "auto" measures at the start whether bf16 autocast is faster than float32. ``ema_decay`` is
    that of the averaged weights, which are what is validated and exported; they are updated every 10 steps.
    ``balancer``: weigh the losses by their gradients (see LossBalancer) instead of by their values.
    ``adversarial``: None trains without a discriminator. ``frame_losses``: None loses no frames.
    ``decoder_only``: encoder and codebooks stay as they are, and the decoder learns from the codes that an
    encoder sends, its beam search included; for a trained model to start from.
    """

    seed: int = 0
    max_steps: int = 20_000
    max_minutes: float | None = None
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    ema_decay: float = 0.999
    balancer: bool = False
    decoder_only: bool = False
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    adversarial: AdversarialConfig | None = None
    frame_losses: FrameLossConfig | None = None
    data: DataConfig = field(default_factory=DataConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise CodecError(f"max_steps must be positive, not {self.max_steps}")
        if self.max_minutes is not None and not 0.0 < self.max_minutes < math.inf:
            raise CodecError(f"max_minutes must be positive, not {self.max_minutes}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise CodecError(f"ema_decay must lie in [0, 1), not {self.ema_decay}")


@dataclass(frozen=True)
class Recipe:
    """A model and its training, as ``recipes/*/config.yaml`` holds them."""

    model: CodecConfig
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        config, bottleneck = self.training.quantization, self.model.bottleneck
        if config.min_codebooks > bottleneck.num_codebooks:
            raise CodecError(
                f"min_codebooks is {config.min_codebooks}, the model has {bottleneck.num_codebooks} codebooks"
            )
        # Found out only at the end of the warm start, this would cost its time.
        if config.kmeans_vectors < bottleneck.codebook_size:
            raise CodecError(
                f"kmeans_vectors must be at least the codebook_size of {bottleneck.codebook_size}"
            )


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from yaml.

    Raises:
        CodecError: the file cannot be read, or a key or value in it is wrong; the message names both.
    """
    return from_mapping(Recipe, read_yaml(path), str(path))


def with_length(recipe: Recipe, steps: int | None = None, minutes: float | None = None) -> Recipe:
    """The recipe with another length of its training, where one is given.

    Raises:
        UsageError: both are given.
        CodecError: a length is not positive.
    """
    if steps is not None and minutes is not None:
        raise UsageError("a training lasts --steps or --minutes, not both: leave one out")
    training = recipe.training
    if steps is not None:
        training = replace(training, max_steps=steps, max_minutes=None)
    if minutes is not None:
        training = replace(training, max_minutes=minutes)
    return replace(recipe, training=training)


def recipe_yaml(recipe: Recipe) -> str:
    """The yaml that `read_recipe` reads as the same recipe, every default written out."""
    return yaml.safe_dump(to_mapping(recipe), sort_keys=False)
