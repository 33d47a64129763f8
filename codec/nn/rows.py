"""Rows of a streaming step: how many are computed, and an activation whose bits do not depend on it.

In a step, time runs along rows: ``[B, T, C]``. Between two layers only the real rows are kept, rounded up to
a multiple of 8, since matrix products give a row the same bits at all such counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MULTIPLE = 8
# Torch gives each thread at least this many elements: a smaller tensor is never split.
_UNSPLIT = 32_768


def whole_rows(valid: int) -> int:
    """The number of rows that is computed for ``valid`` real ones."""
    return -(-valid // _MULTIPLE) * _MULTIPLE


def fit_rows(x: Tensor, rows: int) -> Tensor:
    """Cut ``[B, T, C]`` to ``rows`` rows, or lengthen it with zeros."""
    missing = rows - x.shape[1]
    return x[:, :rows] if missing <= 0 else F.pad(x, (0, 0, 0, missing))


def elu(x: Tensor) -> Tensor:
    """ELU (Clevert et al. 2015), with the same bits at any place in a tensor and for any number of threads.

    Torch splits a large tensor among its threads, and computes what each share has beyond a multiple of 32
    elements with another exponential, which differs in the last bit. It does not split these pieces, and they
    have no such rest where the tensor's size is a multiple of 32.
    """
    pieces = torch.split(x.flatten(), _UNSPLIT)
    return torch.cat([F.elu(piece) for piece in pieces]).view(x.shape)
