"""What the image study compares, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codec.config import Estimator, from_mapping, read_yaml
from codec.errors import CodecError
from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from codec.quantize.complexity import additive_wmops, product_wmops, residual_wmops

Kind = Literal["plain", "residual", "additive", "product"]
Start = Literal["uniform", "kmeans"]

# Codebooks of the residual, additive and product quantizer, as published.
NUM_CODEBOOKS = 4
COMPARED: tuple[Estimator, ...] = ("nsvq", "ste", "ema")
# All estimators meet at the highest banded rate, from a k-means start and with replacement, as codecs train.
ESTIMATORS: tuple[Estimator, ...] = ("nsvq", "ste", "ema", "rotation", "diveq")


@dataclass(frozen=True)
class Network:
    """Sizes of `recipes.image_vqvae.network.VqVae`; ``dim`` numbers in a latent."""

    channels: int
    residual_channels: int
    residual_units: int
    dim: int


@dataclass(frozen=True)
class Training:
    """One training: ``updates`` of ``batch`` images with Adam.

    Every ``replace_every`` updates until ``replace_until`` of them are over, words chosen less than
    ``replace_threshold`` times the average are replaced, once words were chosen ``rows_per_word`` times on
    average. A k-means start comes after ``warm_updates`` without quantizer, on the latents of
    ``kmeans_images`` images. Every ``curve_every`` updates a point of the curves is taken, its test error on
    ``curve_images`` images. The additive search has a beam of ``train_beam``.
    """

    updates: int
    batch: int
    learning_rate: float
    replace_every: int
    replace_until: float
    replace_threshold: float
    rows_per_word: int
    warm_updates: int
    kmeans_images: int
    curve_every: int
    curve_images: int
    train_beam: int


@dataclass(frozen=True)
class Size:
    """How much of the study runs: one codebook of each of ``single_bits``, four of ``multi_bits`` together.

    ``banded_bits`` of the single ones run with ``seeds`` seeds, the other single ones with one; those with
    four codebooks with ``multi_seeds``.
    """

    training: Training
    single_bits: tuple[int, ...]
    banded_bits: tuple[int, ...]
    seeds: int
    multi_bits: tuple[int, ...]
    multi_seeds: int


@dataclass(frozen=True)
class Study:
    """The configuration file: the network, the additive search's beam in the test, three sizes."""

    network: Network
    test_beam: int
    quick: Size
    reduced: Size
    full: Size


@dataclass(frozen=True)
class Setting:
    """One run: ``bits`` a latent in all; "plain" is a single codebook.

    ``start``: words as uniform draws within 1 / K of zero, as published, or by k-means.
    """

    quantizer: Kind
    bits: int
    estimator: Estimator
    replacement: bool
    start: Start
    seed: int

    @property
    def num_codebooks(self) -> int:
        """M."""
        return 1 if self.quantizer == "plain" else NUM_CODEBOOKS

    @property
    def codebook_size(self) -> int:
        """K."""
        return int(2 ** (self.bits // self.num_codebooks))


def read_study(path: Path) -> Study:
    """Read and check the configuration file.

    Raises:
        CodecError: a key is unknown, missing or wrong, or bits cannot be shared evenly by four codebooks.
    """
    study = from_mapping(Study, read_yaml(path), str(path))
    for size in (study.quick, study.reduced, study.full):
        if any(bits % NUM_CODEBOOKS for bits in size.multi_bits):
            raise CodecError(f"{path}: multi_bits must be multiples of {NUM_CODEBOOKS}")
        if not set(size.banded_bits) <= set(size.single_bits):
            raise CodecError(f"{path}: banded_bits must be among single_bits")
    return study


def settings(size: Size) -> list[Setting]:
    """All runs of a size, the most telling ones first, so that an interrupted study says what it can.

    Seed by seed the banded rates, the quantizers of four codebooks and the estimators under full care; then
    the other rates.
    """
    banded = sorted(size.banded_bits, reverse=True)
    runs: list[Setting] = []
    for seed in range(max(size.seeds, size.multi_seeds)):
        if seed < size.seeds:
            runs += [run for bits in banded for run in _compared(bits, seed)]
        if seed < size.multi_seeds:
            runs += _all_of_four(size.multi_bits, seed)
        if seed < size.seeds:
            runs += [Setting("plain", banded[0], name, True, "kmeans", seed) for name in ESTIMATORS]
    return runs + [run for bits in size.single_bits if bits not in banded for run in _compared(bits, 0)]


def _compared(bits: int, seed: int) -> list[Setting]:
    """The published comparison, each estimator with and without replacement."""
    return [
        Setting("plain", bits, estimator, replacement, "uniform", seed)
        for replacement in (True, False)
        for estimator in COMPARED
    ]


def _all_of_four(rates: tuple[int, ...], seed: int) -> list[Setting]:
    kinds: tuple[Kind, ...] = ("residual", "additive", "product")
    return [of_four(kind, bits, seed) for bits in rates for kind in kinds]


def of_four(kind: Kind, bits: int, seed: int = 0) -> Setting:
    """A run of a quantizer with four codebooks."""
    return Setting(kind, bits, "nsvq", True, "uniform", seed)


def build_quantizer(setting: Setting, study: Study, train_beam: int) -> VectorQuantizer:
    """The quantizer of a run, in the papers' forms: greedy residual search, contiguous unrotated blocks."""
    dim, number, size = study.network.dim, setting.num_codebooks, setting.codebook_size
    if setting.quantizer == "product":
        return ProductVQ(dim, number, size, setting.estimator)
    if setting.quantizer == "additive":
        return AdditiveVQ(dim, number, size, setting.estimator, study.test_beam, train_beam)
    return ResidualVQ(dim, number, size, setting.estimator)


def wmops(setting: Setting, study: Study, count: Literal["paper", "exact"]) -> float:
    """Million weighted operations to search a vector: as published, or of all stages.

    "exact" counts the additive search as it is done here, by tables.
    """
    sizes = (study.network.dim, setting.num_codebooks, setting.codebook_size)
    if setting.quantizer == "additive":
        return additive_wmops(*sizes, study.test_beam, "paper" if count == "paper" else "table")
    search = product_wmops if setting.quantizer == "product" else residual_wmops
    return search(*sizes, count)
