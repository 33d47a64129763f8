"""Adversarial losses between a codec and its multi-scale discriminator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.nn.discriminators import ScaleOutput

# Features that are all but zero have no scale to be relative to.
_FEATURE_FLOOR = 1e-5


def discriminator_loss(real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput]) -> Tensor:
    """Hinge loss of the discriminator: mean over scales of max(0, 1 - D(x)) + max(0, 1 + D(x_hat)).

    SoundStream (Zeghidour et al. 2021, eq. 1) and EnCodec (Défossez et al. 2022, section 3.4). A scalar. The
    caller keeps its gradient from the codec: by detached audio or `backward(inputs=...)`.
    """
    losses = [
        F.relu(1 - judged.logits.float()).mean() + F.relu(1 + wrong.logits.float()).mean()
        for judged, wrong in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: Sequence[ScaleOutput]) -> Tensor:
    """Hinge loss of the codec: mean over scales of max(0, 1 - D(x_hat)), a scalar (SoundStream, eq. 2)."""
    return torch.stack([F.relu(1 - scale.logits.float()).mean() for scale in fake]).mean()


def feature_matching(real: Sequence[ScaleOutput], fake: Sequence[ScaleOutput]) -> Tensor:
    """L1 between the features of original and decoded audio, relative to the original's mean: a scalar.

    Mean over all layers of all scales (EnCodec, Défossez et al. 2022, eq. 2). Gradients flow to `fake` only.
    """
    losses = []
    for original, decoded in zip(real, fake, strict=True):
        for target, feature in zip(original.features, decoded.features, strict=True):
            target = target.detach().float()
            scale = target.abs().mean().clamp_min(_FEATURE_FLOOR)
            losses.append((target - feature.float()).abs().mean() / scale)
    return torch.stack(losses).mean()
