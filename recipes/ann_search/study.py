"""What the study on nearest-neighbour search compares."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codec.config import from_mapping, read_yaml
from codec.errors import CodecError
from recipes.common.baselines import Baseline
from recipes.common.vectors import Training

Quantizer = Literal["residual", "additive", "product", "product_rotated"]
Search = Literal["residual_beam", "additive_polished", "lsq_searched"]
Method = Quantizer | Search | Baseline

QUANTIZERS: tuple[Quantizer, ...] = ("residual", "additive", "product")
# Runs at 64 bit, in this order; a search needs the codebooks of its quantizer.
METHODS: tuple[Method, ...] = (
    *QUANTIZERS,
    "kmeans_residual",
    "kmeans_product",
    "additive_polished",
    "lsq",
    "residual_beam",
    "product_rotated",
    "opq",
    "lsq_searched",
)
# Whose codebooks a search works on.
CODEBOOKS: dict[Method, Method] = {
    "residual_beam": "residual",
    "additive_polished": "additive",
    "lsq_searched": "lsq",
}
# How many found vectors count.
DEPTHS = (1, 2, 4, 8, 10, 16, 32, 64, 100, 128, 256, 512, 1000)
MANY_CODEBOOKS, MANY_BITS = 8, 64
FEW_CODEBOOKS = 4


@dataclass(frozen=True)
class Size:
    """How much runs: ``seeds`` runs at 64 bit, ``lsq_seeds`` of least squares, which take many minutes.

    ``cost_bits`` in ``cost_seeds`` runs are for recall against complexity. The additive search has ``beam``,
    in training ``train_beam``.
    """

    seeds: int
    lsq_seeds: int
    cost_seeds: int
    cost_bits: tuple[int, ...]
    beam: int
    train_beam: int
    training: Training

    def __post_init__(self) -> None:
        if any(bits % FEW_CODEBOOKS for bits in self.cost_bits):
            raise CodecError(f"all cost_bits must be multiples of the {FEW_CODEBOOKS} codebooks")


@dataclass(frozen=True)
class Study:
    """The configuration file.

    ``wide_beam`` and ``polish`` are those of the additive search beyond the published one; the residual
    search with a beam has the additive one's.
    """

    wide_beam: int
    polish: int
    quick: Size
    reduced: Size
    full: Size


@dataclass(frozen=True)
class Setting:
    """One run."""

    num_codebooks: int
    bits: int
    method: Method
    seed: int


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def read_published(path: Path) -> dict[str, Any]:
    """The published figures (Vali and Bäckström, ICASSP 2023, figures 5 and 6).

    ``recall`` by depth ``T``; ``recall_residual``, of another figure; ``recall_16`` by ``bits``, which was
    read off the figure, with the cost of the search.
    """
    published: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return published


def settings(size: Size) -> list[Setting]:
    """All runs of a size, seed by seed: those at 64 bit, then the costs."""
    many = [
        Setting(MANY_CODEBOOKS, MANY_BITS, method, seed)
        for seed, method in itertools.product(range(size.seeds), METHODS)
        if CODEBOOKS.get(method, method) != "lsq" or seed < size.lsq_seeds
    ]
    few = [
        Setting(FEW_CODEBOOKS, bits, method, seed)
        for seed, bits, method in itertools.product(range(size.cost_seeds), size.cost_bits, QUANTIZERS)
    ]
    return sorted(many + few, key=lambda run: run.seed)
