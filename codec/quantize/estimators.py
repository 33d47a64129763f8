"""Gradient estimators: how gradients pass a quantizer in training.

Each takes vectors and their quantized values and gives what goes on to the decoder. `nsvq` and `diveq`
send gradients to the words through that output; `straight_through` and `rotation` do not, so their words
learn from `stage_losses` or as moving averages (`codec.quantize.codebooks.WordAverages`).
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from codec.config import Estimator
from codec.errors import CodecError

# The weight of the commitment loss (van den Oord et al. 2017, section 3.2).
COMMITMENT_WEIGHT = 0.25
# The standard deviation of the noise that turns DiVeQ's direction.
_DIVEQ_NOISE = 1e-3
_TINY = 1e-12


class _SafeNorm(torch.autograd.Function):
    """Euclidean norm of the rows of ``[N, D]`` as ``[N, 1]``; its gradient is zero where a row is zero."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """|x|."""
        norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        ctx.save_for_backward(x, norm)
        return norm

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        """x / |x| times the gradient."""
        x, norm = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.where(norm > 0, gradient * x / norm.clamp_min(_TINY), torch.zeros_like(x))


def nsvq(x: Tensor, quantized: Tensor, noise: Tensor | None = None) -> Tensor:
    """Noise substitution (Vali and Bäckström 2022, IEEE Access 10, eq. 4): x + |x - quantized| v / |v|.

    The error is replaced by noise of the same length in a random direction, so that gradients reach both x
    and the words that ``quantized`` sums. For several codebooks it is applied once, on the total error.

    Args:
        x: vectors ``[N, D]``.
        quantized: their quantized values ``[N, D]``, differentiable with respect to the codebooks.
        noise: the normal draws v ``[N, D]``; fresh ones by default.

    Returns:
        ``[N, D]``; at zero error it equals x, and the gradient to the words is zero.
    """
    noise = torch.randn_like(x) if noise is None else noise
    return x + _safe_norm(x - quantized) * _unit(noise)


def diveq(x: Tensor, quantized: Tensor, noise: Tensor | None = None) -> Tensor:
    """DiVeQ (Vali et al. 2025, arXiv 2509.26469): x + |d| sg[(d + v) / |d + v|] with d = quantized - x.

    As :func:`nsvq`, but in the direction of the true error, turned by a little noise: the output is nearly
    the quantized value.

    Args:
        x: vectors ``[N, D]``.
        quantized: their quantized values ``[N, D]``, differentiable with respect to the codebooks.
        noise: the draws v ``[N, D]``; by default normal ones of standard deviation 1e-3. Zeros give
        DiVeQ-detach.

    Returns:
        ``[N, D]``; at zero error it equals x, and the gradient to the words is zero.
    """
    noise = _DIVEQ_NOISE * torch.randn_like(x) if noise is None else noise
    difference = quantized - x
    return x + _safe_norm(difference) * _unit((difference + noise).detach())


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """The straight-through estimator (Bengio et al. 2013): the values of ``quantized``, the gradient of x.

    Args:
        x: vectors ``[N, D]``.
        quantized: their quantized values ``[N, D]``, which get no gradient.
    """
    return x + (quantized - x).detach()


def rotation(x: Tensor, quantized: Tensor) -> Tensor:
    """The rotation trick (Fifty et al. 2024, arXiv 2410.06424): a rotation and a scale take x to its value.

    The gradient to x is turned back by the rotation and scaled. Where x or its value is zero, or one points
    against the other, no rotation is singled out: there it is straight-through.

    Args:
        x: vectors ``[N, D]``.
        quantized: their quantized values ``[N, D]``, which get no gradient.
    """
    source, target = x.detach(), quantized.detach()
    source_norm = torch.linalg.vector_norm(source, dim=-1, keepdim=True)
    target_norm = torch.linalg.vector_norm(target, dim=-1, keepdim=True)
    start, end = source / source_norm.clamp_min(_TINY), target / target_norm.clamp_min(_TINY)
    between = start + end
    width = torch.linalg.vector_norm(between, dim=-1, keepdim=True)
    middle = between / width.clamp_min(_TINY)
    # (I - 2 r r^T + 2 end start^T) x without a matrix, r the unit vector half way.
    turned = (
        x - 2.0 * middle * (middle * x).sum(-1, keepdim=True) + 2.0 * end * (start * x).sum(-1, keepdim=True)
    )
    defined = (source_norm > _TINY) & (target_norm > _TINY) & (width > 1e-6)
    scale = target_norm / source_norm.clamp_min(_TINY)
    rotated: Tensor = torch.where(defined, scale * turned, straight_through(x, quantized))
    return rotated


def stage_losses(targets: Tensor, words: Tensor, sent: Tensor) -> tuple[Tensor, Tensor]:
    """The codebook and the commitment loss of VQ-VAE (van den Oord et al. 2017, eq. 3), over all codebooks.

    Args:
        targets: what each codebook should have given ``[N, M, d]``, differentiable with respect to the
        vectors
            alone: were it so with respect to earlier words or to straight-through outputs, stages would
            train each other, or the commitment losses would cancel.
        words: what it gave ``[N, M, d]``, differentiable with respect to the codebooks.
        sent: which of them count ``[N, M]``.

    Returns:
        two scalars, mean squares over the codes that were sent: the first moves words alone, the second
        vectors alone.
    """
    count = sent.sum().clamp_min(1) * words.shape[-1]
    weights = sent.unsqueeze(-1).to(words.dtype)
    codebook = (weights * (targets.detach() - words).square()).sum() / count
    commitment = (weights * (targets - words.detach()).square()).sum() / count
    return codebook, commitment


def check_estimator(name: str) -> Estimator:
    """The name of an estimator, which must be known.

    Raises:
        CodecError: it is not.
    """
    if name not in get_args(Estimator):
        raise CodecError(f"unknown estimator {name!r}, known are {', '.join(get_args(Estimator))}")
    return name  # type: ignore[return-value]


def _safe_norm(x: Tensor) -> Tensor:
    norm: Tensor = _SafeNorm.apply(x)  # type: ignore[no-untyped-call]
    return norm


def _unit(x: Tensor) -> Tensor:
    unit: Tensor = x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + _TINY)
    return unit
