"""What the study on toy data compares."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from codec.config import from_mapping, read_yaml
from codec.errors import CodecError
from codec.quantize.complexity import additive_wmops, product_wmops, residual_wmops
from recipes.common.baselines import Baseline
from recipes.common.vectors import Training

Data = Literal["correlated", "uncorrelated"]
Trained = Literal["residual", "additive", "product", "product_rotated"]
Method = Trained | Baseline

# The quantizers in the published forms, and what they are compared with beside each other.
QUANTIZERS: tuple[Trained, ...] = ("residual", "additive", "product")
BASELINES: tuple[Baseline, ...] = ("kmeans_residual", "kmeans_product")
VARIANTS: tuple[Method, ...] = ("product_rotated", "opq", "minibatch_residual", "lsq")
# The numbers that correlated vectors are mixed from, and the variance of their coordinates.
_SOURCES = 16
_CORRELATED_VARIANCE = 15.4
# The matrix that mixes them, alike for all seeds.
_MIXING_SEED = 0
_HELD_OUT_SEED = 10_000


@dataclass(frozen=True)
class Size:
    """How much runs: ``seeds`` runs of each setting, fitted to ``learn`` vectors.

    They are measured on ``held_out`` others. ``train_beam`` is the beam of the additive search in training.
    Least squares take minutes a run, and have ``lsq_seeds`` runs.
    """

    bits: tuple[int, ...]
    dims: tuple[int, ...]
    seeds: int
    lsq_seeds: int
    learn: int
    held_out: int
    train_beam: int
    training: Training


@dataclass(frozen=True)
class Study:
    """The configuration file; variants that are not published run at ``variants_dim`` dimensions alone."""

    num_codebooks: int
    beam: int
    variants_dim: int
    quick: Size
    reduced: Size
    full: Size

    def __post_init__(self) -> None:
        for size in (self.quick, self.reduced, self.full):
            if any(bits % self.num_codebooks for bits in size.bits):
                raise CodecError(f"all bits must be multiples of the {self.num_codebooks} codebooks")


@dataclass(frozen=True)
class Setting:
    """One run."""

    data: Data
    dim: int
    bits: int
    method: Method
    seed: int


@dataclass(frozen=True)
class Published:
    """Mean square errors by ``bits``, as published (Vali and Bäckström, ICASSP 2023, figures 2 and 3)."""

    data: Data
    dim: int
    bits: tuple[int, ...]
    additive: tuple[float, ...]
    residual: tuple[float, ...]
    product: tuple[float, ...]


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def read_published(path: Path) -> list[Published]:
    """Read the published figures."""
    tables = json.loads(path.read_text(encoding="utf-8"))
    return [from_mapping(Published, table, str(path)) for table in tables]


def settings(study: Study, size: Size) -> list[Setting]:
    """All runs of a size, the most telling ones first: what is published, seed by seed, then the variants."""
    main: list[Setting] = []
    for dim, data in itertools.product(size.dims, ("uncorrelated", "correlated")):
        main += _settings(size, data, dim, (*QUANTIZERS, *BASELINES))  # type: ignore[arg-type]
    main.sort(key=lambda setting: (not is_published(setting.data, setting.dim), setting.dim))
    variants = [
        setting
        for data in get_args(Data)
        for setting in _settings(size, data, study.variants_dim, VARIANTS)
        if study.variants_dim in size.dims and (setting.method != "lsq" or setting.seed < size.lsq_seeds)
    ]
    return main + sorted(variants, key=lambda setting: VARIANTS.index(setting.method))


def _settings(size: Size, data: Data, dim: int, methods: tuple[Method, ...]) -> list[Setting]:
    return [
        Setting(data, dim, bits, method, seed)
        for seed, bits, method in itertools.product(range(size.seeds), size.bits, methods)
    ]


def is_published(data: Data, dim: int) -> bool:
    """Whether there are published figures of such vectors: of correlated ones at 64 dimensions alone."""
    return data == "uncorrelated" or dim == 64


def wmops(study: Study, dim: int, bits: int, method: Trained) -> float:
    """Million operations to search a vector as it is done here: see `codec.quantize.complexity`."""
    sizes = (dim, study.num_codebooks, 2 ** (bits // study.num_codebooks))
    if method == "additive":
        return additive_wmops(*sizes, study.beam)
    return residual_wmops(*sizes, "mac") if method == "residual" else product_wmops(*sizes, "mac")


def variance(data: Data) -> float:
    """The mean variance of a coordinate: the error without any bits."""
    return 140.0 if data == "uncorrelated" else _CORRELATED_VARIANCE


def draw_vectors(data: Data, dim: int, count: int, seed: int) -> Tensor:
    """Vectors ``[count, dim]`` of a kind.

    How the published ones were made is not told. These are inferred from the published errors: "uncorrelated"
    are independent integers, uniform from -20 to 20; "correlated" are A z with z 16 independent normal
    numbers and A a fixed normal matrix, scaled to the variance that the errors of product quantization imply.
    """
    generator = torch.Generator().manual_seed(seed)
    if data == "uncorrelated":
        return torch.randint(-20, 21, (count, dim), generator=generator).float()
    mixing = torch.randn(dim, _SOURCES, generator=torch.Generator().manual_seed(_MIXING_SEED))
    mixing *= (_CORRELATED_VARIANCE / mixing.square().sum(dim=1).mean()).sqrt()
    return torch.randn(count, _SOURCES, generator=generator) @ mixing.t()


def held_out_vectors(data: Data, dim: int, count: int) -> Tensor:
    """The vectors that all runs are measured on, and none is fitted to."""
    return draw_vectors(data, dim, count, _HELD_OUT_SEED)
