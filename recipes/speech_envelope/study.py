"""What the speech study compares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from codec.config import from_mapping, read_yaml

# Three quantizers of the same bits trained by NSVQ, and one codebook trained by NSVQ or straight-through.
Method = Literal["residual", "additive", "product", "nsvq", "ste"]
METHODS: tuple[Method, ...] = get_args(Method)
METRICS = ("pesq_wb", "psnr", "psnr_coding", "stoi")


@dataclass(frozen=True)
class Training:
    """``updates`` of ``batch`` frames by Adam, from at most ``frames`` frames.

    Codebooks start by k-means on ``start_frames`` of them. Words are replaced every ``replace_every`` updates
    until ``replace_until`` of them are over, by the rule of `codec.quantize.codebooks.replace_unused`. The
    single codebook has ``2 ** single_bits`` words.
    """

    frames: int
    updates: int
    batch: int
    learning_rate: float
    start_frames: int
    replace_every: int
    replace_until: float
    replace_threshold: float
    rows_per_word: int
    single_bits: int


@dataclass(frozen=True)
class Size:
    """How much runs: ``seeds`` of each method, measured on at most ``clips`` clips at ``bitrates`` in bits a
    second."""

    seeds: int
    clips: int
    bitrates: tuple[int, ...]
    training: Training


@dataclass(frozen=True)
class Study:
    """The configuration file: ``num_codebooks`` codebooks of ``codebook_size`` words, searched additively
    with ``beam`` (``train_beam`` in training), and a mixture of ``components``."""

    num_codebooks: int
    codebook_size: int
    beam: int
    train_beam: int
    components: int
    quick: Size
    full: Size


@dataclass(frozen=True)
class Setting:
    """One run: a codec that is trained, and measured at all bitrates."""

    method: Method
    seed: int


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def settings(size: Size) -> list[Setting]:
    """All runs of a size, seed by seed."""
    return [Setting(method, seed) for seed, method in itertools.product(range(size.seeds), METHODS)]
