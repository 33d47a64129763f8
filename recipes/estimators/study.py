"""What the study of estimators compares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codec.config import Estimator, from_mapping, read_yaml

# "bare": words start as uniform draws near zero, and unused ones stay; "care": k-means start and replacement.
Form = Literal["bare", "care"]

ESTIMATORS: tuple[Estimator, ...] = ("nsvq", "ste", "ema", "rotation", "diveq")
FORMS: tuple[Form, ...] = ("care", "bare")
# Moving averages give words no gradient, and the encoder that of straight-through.
WITH_GRADIENTS: tuple[Estimator, ...] = ("nsvq", "ste", "rotation", "diveq")


@dataclass(frozen=True)
class Gradients:
    """Where gradients are taken: after ``warm_updates`` of the unquantized autoencoder and a k-means start.

    Words are then displaced by ``displacement`` of the root mean square error of a latent's number. ``step``
    is that of the finite differences; ``batch`` the vectors of which a training gradient is made.
    """

    latent: int
    codebook_size: int
    warm_updates: int
    displacement: float
    step: float
    batch: int


@dataclass(frozen=True)
class Training:
    """One training of an autoencoder with ``latent`` numbers between its halves.

    With care it starts by ``warm_updates`` without quantizer and k-means on ``kmeans_vectors``, and replaces
    unused words every ``replace_every`` updates. The error on ``test_vectors`` fresh vectors is taken every
    ``curve_every`` updates.
    """

    latent: int
    updates: int
    batch: int
    warm_updates: int
    kmeans_vectors: int
    replace_every: int
    curve_every: int
    test_vectors: int


@dataclass(frozen=True)
class Size:
    """How much runs, each with ``seeds`` seeds.

    Gradients are means over ``vectors`` vectors and ``draws`` of the estimator's noise; trainings have one
    codebook of ``bits``.
    """

    seeds: int
    vectors: int
    draws: int
    bits: int
    training: Training


@dataclass(frozen=True)
class Study:
    """The configuration file: the vectors, the ``hidden`` width of the autoencoder, its care, three sizes."""

    sources: int
    dim: int
    hidden: int
    learning_rate: float
    replace_until: float
    replace_threshold: float
    rows_per_word: int
    gradients: Gradients
    quick: Size
    reduced: Size
    full: Size


@dataclass(frozen=True)
class Setting:
    """One run: gradients at one point, or a training."""

    part: Literal["gradients", "training"]
    estimator: Estimator
    form: Form
    seed: int


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def settings(size: Size) -> list[Setting]:
    """All runs of a size, seed by seed."""
    runs: list[Setting] = []
    for seed in range(size.seeds):
        runs += [Setting("gradients", estimator, "care", seed) for estimator in WITH_GRADIENTS]
        runs += [
            Setting("training", estimator, form, seed)
            for form, estimator in itertools.product(FORMS, ESTIMATORS)
        ]
    return runs
