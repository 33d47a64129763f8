"""The bottleneck between encoder and decoder."""

from __future__ import annotations

import pytest
import torch

from codec.config import BottleneckConfig
from codec.quantize import Bottleneck, build_bottleneck


@pytest.fixture
def bottleneck() -> Bottleneck:
    torch.manual_seed(0)
    built = build_bottleneck(BottleneckConfig(num_codebooks=4, codebook_size=16), dim=8)
    built.fit_kmeans(torch.randn(2, 8, 500))
    return built


def test_training_noise_has_the_length_of_the_hard_error(bottleneck: Bottleneck) -> None:
    z = torch.randn(3, 8, 20)
    n = torch.tensor([1, 4, 2])
    out = bottleneck(z, n)
    limits = n[:, None].expand(-1, 20)
    hard = bottleneck.decode(bottleneck.encode(z, limits))
    torch.testing.assert_close((out.z_q - z).norm(dim=1), (hard - z).norm(dim=1))
    assert torch.equal((out.codes >= 0).sum(dim=1), limits)
    assert float(out.loss) == 0.0


def test_inference_is_the_hard_rule_and_counts_nothing(bottleneck: Bottleneck) -> None:
    z = torch.randn(2, 8, 10)
    codes = bottleneck.encode(z)
    assert codes.shape == (2, 4, 10)
    assert codes.dtype == torch.int64
    assert torch.equal(bottleneck.encode(z), codes)
    assert torch.equal(bottleneck.decode(codes), bottleneck.decode(codes))
    assert not bottleneck.usage.counts.any()
    bottleneck(z)
    assert bottleneck.usage.counts.sum() == codes.numel()


def test_it_stays_float32_under_autocast(bottleneck: Bottleneck) -> None:
    z = torch.randn(2, 8, 10)
    with torch.autocast("cpu", torch.bfloat16):
        out = bottleneck(z.bfloat16())
        codes = bottleneck.encode(z)
    assert out.z_q.dtype == torch.float32
    assert torch.equal(codes, bottleneck.encode(z))


def test_gradients_reach_latents_and_words(bottleneck: Bottleneck) -> None:
    z = torch.randn(2, 8, 10, requires_grad=True)
    bottleneck(z).z_q.square().sum().backward()
    assert z.grad is not None
    assert bool(z.grad.any())
    words = bottleneck.quantizer.words.grad
    assert words is not None
    assert bool(words.any())
    assert bool(torch.isfinite(words).all())


def test_a_prefix_of_codebooks_decodes(bottleneck: Bottleneck) -> None:
    z = torch.randn(1, 8, 10)
    codes = bottleneck.encode(z)
    assert torch.equal(bottleneck.decode(codes[:, :2]), bottleneck.decode(bottleneck.encode(z, 2)))
