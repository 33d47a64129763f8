"""What the swiss roll study compares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from codec.config import Estimator, from_mapping, read_yaml

Start = Literal["outside", "inside"]

ESTIMATORS: tuple[Estimator, ...] = ("nsvq", "ste", "ema")
STARTS: tuple[Start, ...] = ("outside", "inside")
# The turns of the roll, as angles, and the standard deviation that they give each coordinate.
_FIRST, _LAST = 1.5 * torch.pi, 4.5 * torch.pi
_DEVIATION = 6.94


@dataclass(frozen=True)
class Size:
    """How much runs: ``updates`` of ``batch`` points, ``seeds`` seeds, measured on ``test_points`` others.

    Words are replaced every ``replace_every`` updates, and every ``curve_every`` a point of the curves is
    taken.
    """

    updates: int
    batch: int
    seeds: int
    replace_every: int
    curve_every: int
    test_points: int


@dataclass(frozen=True)
class Study:
    """The configuration file.

    ``noise`` is the deviation of the points from the spiral. Words start as uniform draws from the square
    whose sides are the interval ``inside`` or ``outside``. The replacement is that of
    `codec.quantize.codebooks.replace_unused`, until ``replace_until`` of the updates are over.
    """

    codebook_size: int
    noise: float
    learning_rate: float
    inside: tuple[float, float]
    outside: tuple[float, float]
    replace_until: float
    replace_threshold: float
    rows_per_word: int
    quick: Size
    reduced: Size
    full: Size


@dataclass(frozen=True)
class Setting:
    """One run."""

    start: Start
    estimator: Estimator
    replacement: bool
    seed: int


def read_study(path: Path) -> Study:
    """Read and check the configuration file; `codec.errors.CodecError` names a wrong key."""
    return from_mapping(Study, read_yaml(path), str(path))


def settings(size: Size) -> list[Setting]:
    """All runs of a size, seed by seed."""
    return [
        Setting(start, estimator, replacement, seed)
        for seed, start, replacement, estimator in itertools.product(
            range(size.seeds), STARTS, (False, True), ESTIMATORS
        )
    ]


def swiss_roll(count: int, noise: float, generator: torch.Generator) -> Tensor:
    """Points ``[count, 2]`` on a spiral of one and a half turns, uniform in the angle, with noise."""
    angle = _FIRST + (_LAST - _FIRST) * torch.rand(count, 1, generator=generator)
    spiral = angle * torch.cat([angle.cos(), angle.sin()], dim=1) / _DEVIATION
    return spiral + noise * torch.randn(count, 2, generator=generator)
