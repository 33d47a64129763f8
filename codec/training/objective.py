"""What a codec is trained to lower: reconstruction losses and, where wanted, those of a discriminator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from codec.nn.discriminators import MultiScaleDiscriminator, ScaleOutput
from codec.training.adversarial import discriminator_loss, feature_matching, generator_loss
from codec.training.balancer import LossBalancer
from codec.training.config import TrainingConfig
from codec.training.losses import ReconstructionLoss


class Objective(nn.Module):
    """The losses of a training and how they become one gradient.

    Attributes:
        weights: of each loss, by name.
        discriminator: None where the training has none.
    """

    def __init__(self, config: TrainingConfig, sample_rate: int) -> None:
        super().__init__()
        self.reconstruction = ReconstructionLoss(config.losses, sample_rate)
        self.weights = self.reconstruction.weights()
        self.discriminator: MultiScaleDiscriminator | None = None
        if config.adversarial is not None:
            self.discriminator = MultiScaleDiscriminator(config.adversarial.discriminator)
            self.weights["adversarial"] = config.adversarial.adversarial_weight
            self.weights["feature"] = config.adversarial.feature_weight
        self.balancer = LossBalancer(self.weights) if config.balancer else None

    def forward(self, target: Tensor, output: Tensor, adversarial: bool = False) -> dict[str, Tensor]:
        """The losses of a decoded signal, unweighted scalars by name.

        Args:
            target: the original ``[B, T]``.
            output: the decoded signal ``[B, T]``.
            adversarial: with those of the discriminator.
        """
        losses: dict[str, Tensor] = self.reconstruction(target, output)
        if adversarial:
            # One normalization of the weights for both.
            with parametrize.cached():
                with torch.no_grad():
                    real = self._judge(target)
                fake = self._judge(output)
            losses["adversarial"] = generator_loss(fake)
            losses["feature"] = feature_matching(real, fake)
        return losses

    def discriminator_loss(self, target: Tensor, output: Tensor) -> Tensor:
        """What the discriminator is trained to lower; no gradient reaches the signals ``[B, T]``."""
        # Together, since on a GPU the number of operations is what a small discriminator costs.
        judged = self._judge(torch.cat([target, output.detach().to(target.dtype)]))
        halves = [torch.split(scale.logits, len(target)) for scale in judged]
        real, fake = ([ScaleOutput(half[index], []) for half in halves] for index in (0, 1))
        return discriminator_loss(real, fake)

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of losses: a scalar."""
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """The gradient ``[B, T]`` that the losses send into ``output``, a leaf they are functions of.

        Nothing but ``output`` gets a gradient, so none of this reaches the discriminator. It is NaN
        throughout where a loss is not finite: the balancer would leave such a loss out, and the step would
        pass for a good one.
        """
        total = self.total(losses)
        if self.balancer is None:
            (gradient,) = torch.autograd.grad(total, output)
        else:
            self.balancer.backward(losses, output)
            assert output.grad is not None
            gradient = output.grad
        return gradient + 0.0 * total.detach()

    def _judge(self, audio: Tensor) -> list[ScaleOutput]:
        assert self.discriminator is not None
        judged: list[ScaleOutput] = self.discriminator(audio)
        return judged
