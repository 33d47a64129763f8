"""Shapes, gradients and reach of the multi-scale discriminator, and the values of the adversarial losses."""

from __future__ import annotations

import pytest
import torch

from codec.config import from_mapping, to_mapping
from codec.errors import CodecError
from codec.nn.discriminators import (
    DiscriminatorConfig,
    MultiScaleDiscriminator,
    PeriodDiscriminator,
    StftDiscriminator,
    WaveformDiscriminator,
)

SMALL = DiscriminatorConfig(
    waveform_scales=2,
    waveform_channels=4,
    waveform_max_channels=16,
    stft_windows=(256, 64),
    stft_channels=4,
    periods=(2, 7),
    period_channels=2,
)


def noise(length: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, length, generator=torch.Generator().manual_seed(length))


@pytest.fixture
def discriminator() -> MultiScaleDiscriminator:
    torch.manual_seed(0)
    return MultiScaleDiscriminator(SMALL)


@pytest.mark.parametrize("length", [100, 1000, 4097])
def test_shapes_at_any_length(discriminator: MultiScaleDiscriminator, length: int) -> None:
    outputs = discriminator(noise(length))
    times = [-(-length // 256), -(-(length // 2) // 256)]
    frames = [(1 + length // 64, 17), (1 + length // 16, 5)]
    columns = [(-(-length // (81 * period)), period) for period in (2, 7)]
    assert [tuple(output.logits.shape) for output in outputs] == [
        *((2, 1, time) for time in times),
        *((2, 1, *patch) for patch in frames),
        *((2, 1, *patch) for patch in columns),
    ]
    assert [len(output.features) for output in outputs] == [6, 6, 5, 5, 5, 5]
    assert [feature.shape[1] for feature in outputs[0].features] == [4, 16, 16, 16, 16, 16]
    assert [feature.shape[3] for feature in outputs[2].features] == [129, 65, 33, 17, 17]


def test_every_scale_sends_a_gradient_to_the_input(discriminator: MultiScaleDiscriminator) -> None:
    x = noise(3000).requires_grad_()
    for output in discriminator(x):
        for value in (output.logits, *output.features):
            (gradient,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
            assert gradient.isfinite().all()
            assert (gradient.abs().sum(dim=1) > 0).all()


def test_every_weight_is_trained(discriminator: MultiScaleDiscriminator) -> None:
    sum(output.logits.square().mean() for output in discriminator(noise(3000))).backward()
    idle = [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_examples_are_judged_alone(discriminator: MultiScaleDiscriminator) -> None:
    x = noise(2000, batch=3)
    for together, alone in zip(discriminator(x), discriminator(x[1:2]), strict=True):
        torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=1e-4, atol=1e-6)


def test_lower_scales_see_lower_rates() -> None:
    """A tone near the top of the band all but vanishes from the scales below the first."""
    torch.manual_seed(0)
    config = DiscriminatorConfig(waveform_scales=3, stft_windows=())
    judge = MultiScaleDiscriminator(config)
    time = torch.arange(8000)
    silence, tone = torch.zeros(1, 8000), torch.cos(torch.pi * 0.999 * time)[None]
    # The first layer's mean change, away from the edges.
    changes = [
        (a.features[0] - b.features[0])[..., 100:-100].abs().mean().item()
        for a, b in zip(judge(tone), judge(silence), strict=True)
    ]
    assert changes[1] < 0.05 * changes[0]
    assert changes[2] < 0.05 * changes[0]


def reach(judge: torch.nn.Module, length: int) -> int:
    """How many input samples the middle logit depends on."""
    x = noise(length, batch=1).double().requires_grad_()
    logits = judge.double()(x).logits
    middle = logits[(0, 0, *(size // 2 for size in logits.shape[2:]))]
    (gradient,) = torch.autograd.grad(middle, x)
    touched = gradient[0].nonzero().flatten()
    return int(touched[-1] - touched[0]) + 1


def test_a_waveform_scale_hears_what_its_docstring_says() -> None:
    assert reach(WaveformDiscriminator(4, 16), 12_000) == 4951


def test_dilation_widens_the_reach_of_a_spectral_scale() -> None:
    # To each side 1 + 1 + 2 + 4 + 1 + 1 frames of 64 samples, and one window, whose first weight is zero.
    reached = reach(StftDiscriminator(256, 4), 6000)
    assert reached == 2 * 10 * 64 + 255


def test_a_period_joins_samples_that_lie_a_period_apart() -> None:
    """Each column hears only its own samples, so that a change of one sample reaches one column of logits."""
    judge = PeriodDiscriminator(5, 4)
    x = noise(1000, batch=1)
    other = x.clone()
    other[0, 503] += 1.0
    changed = (judge(x).logits != judge(other).logits).any(dim=2).flatten()
    assert changed.tolist() == [False, False, False, True, False]


def test_spectra_are_float32_under_autocast(discriminator: MultiScaleDiscriminator) -> None:
    x = noise(2000)
    plain = discriminator(x)
    with torch.autocast("cpu", torch.bfloat16):
        for exact, rounded in zip(plain, discriminator(x), strict=True):
            torch.testing.assert_close(rounded.logits.float(), exact.logits, rtol=0.1, atol=0.02)


def test_published_sizes_build() -> None:
    """MelGAN's scales have 5.64 M weights each, before weight norm adds a gain per channel."""
    judge = WaveformDiscriminator(16, 1024)
    weights = sum(p.numel() for name, p in judge.named_parameters() if not name.endswith("original0"))
    assert weights == 5_637_953


def test_default_size_is_small() -> None:
    total = sum(p.numel() for p in MultiScaleDiscriminator(DiscriminatorConfig()).parameters())
    assert total < 250_000


def test_configuration_survives_yaml() -> None:
    assert from_mapping(DiscriminatorConfig, to_mapping(SMALL), "test") == SMALL


@pytest.mark.parametrize(
    "values",
    [
        {"waveform_scales": 0, "stft_windows": []},
        {"waveform_scales": -1},
        {"waveform_channels": 6},
        {"waveform_max_channels": 20},
        {"stft_windows": [250]},
        {"stft_channels": 0},
        {"periods": [2, 0]},
        {"period_channels": 0},
    ],
)
def test_impossible_sizes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="recipe"):
        from_mapping(DiscriminatorConfig, values, "recipe")
