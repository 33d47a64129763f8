"""Balancing of losses by the gradients that they send into the model's output."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn


class LossBalancer(nn.Module):
    """Gives each loss its share of the gradient, whatever its scale (EnCodec, Défossez et al. 2022, eq. 4).

    The gradient g_i of loss i with respect to the output becomes R * w_i / sum(w) * g_i / <|g_i|>, where <>
    is an exponential moving average, corrected for its start at zero. The averages are buffers, so that
    checkpoints hold them, and the same on all ranks of a distributed training.
    """

    def __init__(self, weights: Mapping[str, float], decay: float = 0.999, total_norm: float = 1.0) -> None:
        """Balance the losses named in `weights`, each at least 0 and some above, to a combined norm of R.

        decay: of the moving average, in [0, 1). total_norm: R. Raises ValueError for values out of range.
        """
        super().__init__()
        if min(weights.values(), default=0.0) < 0 or not sum(weights.values()) > 0:
            raise ValueError(f"the balancer's weights must not be negative nor all zero: {dict(weights)}")
        if not 0 <= decay < 1 or not total_norm > 0:
            raise ValueError(f"expected a decay in [0, 1) and a positive norm, got {decay} and {total_norm}")
        self.weights = dict(weights)
        self.decay = decay
        self.total_norm = total_norm
        for name in self.weights:
            self.register_buffer(f"norm_sum_{name}", torch.zeros(()))
            self.register_buffer(f"norm_weight_{name}", torch.zeros(()))
            self.register_buffer(f"excluded_{name}", torch.zeros((), dtype=torch.int64))

    def backward(self, losses: Mapping[str, Tensor], output: Tensor) -> dict[str, Tensor]:
        """Backpropagate the balanced sum of `losses` (scalars, functions of `output`) through `output`.

        Only what lies before `output` gets gradients, not a discriminator behind it, and the graphs of the
        losses survive. `losses` may leave out names, whose share the others then have; all ranks must pass
        the same ones. A loss whose gradient is not finite is left out of this step and counted.

        Returns the norm of each loss's gradient before balancing: the mean over the ranks where it is finite,
        NaN if there are none. Raises ValueError for an unknown name or where nothing has a weight.
        """
        names = self._weighted(losses)
        share = sum(self.weights[name] for name in names)
        gradients = [torch.autograd.grad(losses[name], output, retain_graph=True)[0] for name in names]
        norms = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float32) for g in gradients])
        mean_norms = self._mean_over_ranks(norms)
        combined = torch.zeros_like(output)
        for name, gradient, norm, mean_norm in zip(names, gradients, norms, mean_norms, strict=True):
            average = self._update(name, norm, mean_norm)
            scale = self.total_norm * self.weights[name] / share / average
            combined += torch.where(norm.isfinite() & (average > 0), gradient * scale.to(gradient.dtype), 0.0)
        torch.autograd.backward(output, combined)
        return dict(zip(names, mean_norms, strict=True))

    def excluded(self) -> dict[str, int]:
        """How many steps each loss was left out of on this rank, its gradient not being finite."""
        return {name: int(self.get_buffer(f"excluded_{name}")) for name in self.weights}

    def _update(self, name: str, norm: Tensor, mean_norm: Tensor) -> Tensor:
        """Count a bad norm, take a good one into the average and return that, zero where there is none."""
        self.get_buffer(f"excluded_{name}").add_(~norm.isfinite())
        total, weight = self.get_buffer(f"norm_sum_{name}"), self.get_buffer(f"norm_weight_{name}")
        # Zero says nothing of a loss's scale; averaged in, it would blow up gradients after a silent batch.
        usable = mean_norm > 0
        total.copy_(torch.where(usable, self.decay * total + mean_norm, total))
        weight.copy_(torch.where(usable, self.decay * weight + 1, weight))
        return torch.where(weight > 0, total / weight, 0.0)

    def _weighted(self, losses: Mapping[str, Tensor]) -> list[str]:
        """The names in `losses` that have a weight above zero."""
        unknown = sorted(set(losses) - set(self.weights))
        if unknown:
            raise ValueError(f"the balancer has no weight for {', '.join(unknown)}")
        names = [name for name in losses if self.weights[name] > 0]
        if not names:
            raise ValueError("no loss with a weight above zero was given")
        return names

    @staticmethod
    def _mean_over_ranks(norms: Tensor) -> Tensor:
        """norms [n] of this rank -> [n], the mean over the ranks where they are finite, NaN if on none."""
        finite = norms.isfinite()
        sums = torch.stack([torch.where(finite, norms, 0.0), finite.to(norms.dtype)])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        return sums[0] / sums[1]
