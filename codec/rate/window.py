"""A window: frames that are decided together, and what each number of codebooks would do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.rate.importance import Weights

COST_UNIT = 1 << 16
"""Costs are counted in such parts of a bit."""

# Errors are summed over frames, and ears forgive many small ones sooner than a large one: of the powers 0.5
# to 3, this one gave the best PESQ.
_POWER = 2.0
# Errors become whole numbers of this unit, so that the last bits of a float decide nothing.
_ERROR_UNIT = 2.0**-40


@dataclass(frozen=True, eq=False)
class Window:
    """What the frames of a window cost.

    Attributes:
        distortion: ``[C, F, M + 1]``, the weighted error with n codebooks; infinite where n is no choice.
        bits: ``[C, F, M + 1]`` int64, what n codes are thought to take, in parts of `COST_UNIT`.
    """

    distortion: NDArray[np.float64]
    bits: NDArray[np.int64]

    @property
    def frames(self) -> int:
        """F."""
        return int(self.bits.shape[1])


def join_windows(windows: Sequence[Window]) -> Window:
    """Windows that follow each other as one."""
    return Window(
        np.concatenate([window.distortion for window in windows], axis=1),
        np.concatenate([window.bits for window in windows], axis=1),
    )


def make_window(errors: NDArray[np.float64], costs: NDArray[np.int64], weights: Weights) -> Window:
    """Put together what is known of F frames.

    Args:
        errors: mean square error ``[C, M + 1, F]`` of normalized latents with the first n codebooks.
        costs: of each code ``[C, M, F]``, in parts of `COST_UNIT`.
        weights: of the frames.
    """
    distortion = errors.transpose(0, 2, 1) ** _POWER
    distortion[:, :, 0] = weights.noise**_POWER
    distortion = np.round(distortion * weights.importance[:, :, None] / _ERROR_UNIT) * _ERROR_UNIT
    bits = np.zeros(distortion.shape, np.int64)
    bits[:, :, 1:] = costs.transpose(0, 2, 1).cumsum(axis=2)
    return Window(distortion, bits)
