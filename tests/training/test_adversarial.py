"""Hinge and feature matching losses on known values."""

from __future__ import annotations

import pytest
import torch

from codec.nn.discriminators import DiscriminatorConfig, MultiScaleDiscriminator, ScaleOutput
from codec.training.adversarial import discriminator_loss, feature_matching, generator_loss


def scale(*logits: float, features: tuple[list[float], ...] = ()) -> ScaleOutput:
    return ScaleOutput(torch.tensor([[logits]]), [torch.tensor([[feature]]) for feature in features])


def test_hinge_of_the_discriminator() -> None:
    real = [scale(2.0, 0.0), scale(-1.0)]
    fake = [scale(-2.0, 0.5), scale(1.0)]
    # First scale: (0 + 1) / 2 + (0 + 1.5) / 2; second: 2 + 2.
    assert discriminator_loss(real, fake).item() == pytest.approx((1.25 + 4.0) / 2)
    assert discriminator_loss([scale(1.0)], [scale(-1.0)]).item() == 0.0


def test_hinge_of_the_generator() -> None:
    assert generator_loss([scale(2.0, 0.0), scale(-1.0)]).item() == pytest.approx((0.5 + 2.0) / 2)


def test_feature_matching_is_relative() -> None:
    real = [scale(0.0, features=([2.0, -2.0], [10.0, 30.0]))]
    fake = [scale(0.0, features=([1.0, -2.0], [10.0, 20.0]))]
    # First layer: 0.5 / 2; second: 5 / 20.
    assert feature_matching(real, fake).item() == pytest.approx(0.25)
    assert feature_matching(real, real).item() == 0.0


def test_feature_matching_of_dead_features_is_finite() -> None:
    dead, alive = [scale(0.0, features=([0.0, 0.0],))], [scale(0.0, features=([1.0, 1.0],))]
    assert feature_matching(dead, alive).isfinite()


def test_scales_must_agree() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching([scale(0.0)], [])


def test_losses_pull_decoded_audio_and_push_the_discriminator() -> None:
    torch.manual_seed(0)
    config = DiscriminatorConfig(
        waveform_scales=1, waveform_channels=4, waveform_max_channels=8, stft_windows=(64,), stft_channels=4
    )
    judge = MultiScaleDiscriminator(config)
    original, decoded = torch.randn(2, 2000), (0.1 * torch.randn(2, 2000)).requires_grad_()
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3)
    history = []
    for _ in range(30):
        loss = discriminator_loss(judge(original), judge(decoded.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]

    real, fake = judge(original), judge(decoded)
    for value in (generator_loss(fake), feature_matching(real, fake)):
        (gradient,) = torch.autograd.grad(value, decoded, retain_graph=True)
        assert gradient.isfinite().all()
        assert (gradient.abs().sum(dim=1) > 0).all()
    (nothing,) = torch.autograd.grad(feature_matching(real, fake), real[0].features[0], allow_unused=True)
    assert nothing is None
