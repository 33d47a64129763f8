"""NSVQ against its formulas, in float64."""

from __future__ import annotations

import torch

from codec.quantize.estimators import nsvq


def _example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, quantized, noise = (torch.randn(5, 8, dtype=torch.float64, generator=generator) for _ in range(3))
    return x.requires_grad_(), quantized.requires_grad_(), noise


def test_noise_has_the_length_of_the_error() -> None:
    x, quantized, noise = _example()
    substituted = nsvq(x, quantized, noise)
    torch.testing.assert_close((substituted - x).norm(dim=1), (x - quantized).norm(dim=1))
    cosine = torch.nn.functional.cosine_similarity(substituted - x, noise)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_gradients_are_those_of_the_formula() -> None:
    x, quantized, noise = _example()
    upstream = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    nsvq(x, quantized, noise).backward(upstream)
    error = (x - quantized).detach()
    unit_error = error / error.norm(dim=1, keepdim=True)
    along_noise = (upstream * noise / noise.norm(dim=1, keepdim=True)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(quantized.grad, -along_noise * unit_error)
    torch.testing.assert_close(x.grad, upstream + along_noise * unit_error)


def test_gradients_agree_with_finite_differences() -> None:
    x, quantized, noise = _example(1)
    assert torch.autograd.gradcheck(lambda a, b: nsvq(a, b, noise), (x, quantized))


def test_zero_error_gives_x_and_no_gradient_to_the_words() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    quantized = x.detach().clone().requires_grad_()
    substituted = nsvq(x, quantized)
    substituted.sum().backward()
    assert torch.equal(substituted, x)
    assert quantized.grad is not None
    assert not quantized.grad.any()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


def test_mse_training_through_the_noise_is_training_on_the_error() -> None:
    x, quantized, noise = _example(2)
    torch.nn.functional.mse_loss(nsvq(x.detach(), quantized, noise), x.detach()).backward()
    through_noise = quantized.grad
    plain = quantized.detach().clone().requires_grad_()
    torch.nn.functional.mse_loss(plain, x.detach()).backward()
    torch.testing.assert_close(through_noise, plain.grad)


def test_every_call_draws_fresh_noise() -> None:
    x, quantized, _ = _example()
    assert not torch.equal(nsvq(x, quantized), nsvq(x, quantized))
