"""How gradients pass a quantizer in training."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-12


class _SafeNorm(torch.autograd.Function):
    """Euclidean norm of the rows of ``[N, D]`` as ``[N, 1]``; its gradient is zero where a row is zero."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        ctx.save_for_backward(x, norm)
        return norm

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        x, norm = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.where(norm > 0, gradient * x / norm.clamp_min(_TINY), torch.zeros_like(x))


def nsvq(x: Tensor, quantized: Tensor, noise: Tensor | None = None) -> Tensor:
    """Noise substitution (Vali and Bäckström 2022, IEEE Access 10, eq. 4): x + |x - quantized| v / |v|.

    The error is replaced by noise of the same length in a random direction, so that gradients reach both x
    and the words
    that ``quantized`` sums. For several codebooks it is applied once, on the total error.

    Args:
        x: vectors ``[N, D]``.
        quantized: their quantized values ``[N, D]``, differentiable with respect to the codebooks.
        noise: the normal draws v ``[N, D]``; fresh ones by default.

    Returns:
        ``[N, D]``; at zero error it equals x, and the gradient to the words is zero.
    """
    noise = torch.randn_like(x) if noise is None else noise
    error: Tensor = _SafeNorm.apply(x - quantized)  # type: ignore[no-untyped-call]
    direction = noise / (torch.linalg.vector_norm(noise, dim=-1, keepdim=True) + _TINY)
    substituted: Tensor = x + error * direction
    return substituted
