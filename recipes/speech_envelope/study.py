"""What the speech study compares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from codec.config import from_mapping, read_yaml

# Three quantizers of the same bits trained by NSVQ, and one codebook trained by NSVQ or straight-through.
Method = Literal["residual", "additive", "product", "nsvq", "ste"]
METHODS: tuple[Method, ...] = get_args(Method)
Start = Literal["kmeans", "drawn", "normal"]
METRICS = ("pesq_wb", "psnr", "psnr_coding", "stoi")


@dataclass(frozen=True)
class Training:
    """``updates`` of ``batch`` frames by Adam, from at most ``frames`` frames.

    Codebooks start from ``start_frames`` of them. Words are replaced every ``replace_every`` updates
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
class Condition:
    """What a codebook is given besides its training.

    ``start``: the words begin as the centres of "kmeans" on training levels, as levels "drawn" from the
    training, or as standard "normal" numbers, wherever the levels lie. ``replacement`` of unused words.
    """

    start: Start = "kmeans"
    replacement: bool = True


# What all methods of the study itself are given.
USUAL = Condition()


@dataclass(frozen=True)
class SideStudy:
    """The ``methods`` to train under each of ``conditions`` as well, measured at ``bitrates``."""

    methods: tuple[Method, ...]
    conditions: tuple[Condition, ...]
    bitrates: tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """How much runs: ``seeds`` of each method, measured on at most ``clips`` clips at ``bitrates`` in bits a
    second, and the ``side`` study of other conditions with as many seeds."""

    seeds: int
    clips: int
    bitrates: tuple[int, ...]
    training: Training
    side: SideStudy


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


class Run(NamedTuple):
    """A setting under a condition."""

    setting: Setting
    condition: Condition = USUAL


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def study_runs(size: Size) -> list[Run]:
    """All runs of the study itself, seed by seed."""
    return [Run(Setting(method, seed)) for seed, method in itertools.product(range(size.seeds), METHODS)]


def side_runs(size: Size) -> list[Run]:
    """All runs of the side study, seed by seed."""
    cases = itertools.product(range(size.seeds), size.side.conditions, size.side.methods)
    return [Run(Setting(method, seed), condition) for seed, condition, method in cases]
