"""The gradient estimators against their formulas, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.errors import CodecError
from codec.quantize import ResidualVQ
from codec.quantize.codebooks import WordAverages
from codec.quantize.estimators import diveq, nsvq, rotation, stage_losses, straight_through

Noisy = Callable[[Tensor, Tensor, Tensor], Tensor]


def _example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, quantized, noise = (torch.randn(5, 8, dtype=torch.float64, generator=generator) for _ in range(3))
    return x.requires_grad_(), quantized.requires_grad_(), noise


def _upstream() -> Tensor:
    return torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def _grad(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def test_noise_has_the_length_of_the_error() -> None:
    x, quantized, noise = _example()
    substituted = nsvq(x, quantized, noise)
    torch.testing.assert_close((substituted - x).norm(dim=1), (x - quantized).norm(dim=1))
    cosine = F.cosine_similarity(substituted - x, noise)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_diveq_is_nearly_the_quantized_value_and_equal_without_noise() -> None:
    x, quantized, _ = _example()
    torch.testing.assert_close(diveq(x, quantized, torch.zeros_like(x)), quantized)
    near = diveq(x, quantized)
    assert not torch.equal(near, quantized)
    torch.testing.assert_close(near, quantized, atol=0.02, rtol=0)
    torch.testing.assert_close((near - x).norm(dim=1), (quantized - x).norm(dim=1))


@pytest.mark.parametrize("estimate", [nsvq, diveq])
def test_gradients_of_the_noisy_estimators_are_those_of_the_formula(estimate: Noisy) -> None:
    x, quantized, noise = _example()
    upstream = _upstream()
    estimate(x, quantized, noise).backward(upstream)
    error = (x - quantized).detach()
    direction = noise if estimate is nsvq else noise - error
    unit_error = error / error.norm(dim=1, keepdim=True)
    along = (upstream * direction / direction.norm(dim=1, keepdim=True)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(quantized.grad, -along * unit_error)
    torch.testing.assert_close(x.grad, upstream + along * unit_error)


def test_nsvq_gradients_agree_with_finite_differences() -> None:
    x, quantized, noise = _example(1)
    assert torch.autograd.gradcheck(lambda a, b: nsvq(a, b, noise), (x, quantized))


@pytest.mark.parametrize("noise", [None, torch.zeros(3, 4, dtype=torch.float64)])
@pytest.mark.parametrize("estimate", [nsvq, diveq])
def test_zero_error_gives_x_and_no_gradient_to_the_words(estimate: Noisy, noise: Tensor) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    quantized = x.detach().clone().requires_grad_()
    substituted = estimate(x, quantized, noise)
    substituted.sum().backward()
    assert torch.equal(substituted, x)
    assert not _grad(quantized).any()
    assert torch.equal(_grad(x), torch.ones_like(x))


def test_mse_training_through_the_noise_is_training_on_the_error() -> None:
    x, quantized, noise = _example(2)
    F.mse_loss(nsvq(x.detach(), quantized, noise), x.detach()).backward()
    plain = quantized.detach().clone().requires_grad_()
    F.mse_loss(plain, x.detach()).backward()
    torch.testing.assert_close(quantized.grad, plain.grad)


def test_every_call_draws_fresh_noise() -> None:
    x, quantized, _ = _example()
    assert not torch.equal(nsvq(x, quantized), nsvq(x, quantized))
    assert not torch.equal(diveq(x, quantized), diveq(x, quantized))


def test_straight_through_copies_the_gradient() -> None:
    x, quantized, _ = _example()
    output = straight_through(x, quantized)
    output.backward(_upstream())
    torch.testing.assert_close(output, quantized)
    assert torch.equal(_grad(x), _upstream())
    assert quantized.grad is None


def test_rotation_takes_x_to_its_value_and_turns_the_gradient_back() -> None:
    x, quantized, _ = _example()
    output = rotation(x, quantized)
    output.backward(_upstream())
    torch.testing.assert_close(output, quantized)
    assert quantized.grad is None
    for row, (start, end) in enumerate(zip(x.detach(), quantized.detach(), strict=True)):
        a, b = start / start.norm(), end / end.norm()
        r = (a + b) / (a + b).norm()
        eye = torch.eye(8, dtype=torch.float64)
        matrix = eye - 2 * torch.outer(r, r) + 2 * torch.outer(b, a)
        torch.testing.assert_close(matrix @ matrix.T, eye)
        torch.testing.assert_close(_grad(x)[row], end.norm() / start.norm() * matrix.T @ _upstream()[row])


def test_rotation_is_straight_through_where_there_is_no_rotation() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 2.0], [1.0, 0.0], [3.0, 4.0]], dtype=torch.float64).requires_grad_()
    quantized = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    output = rotation(x, quantized)
    output.sum().backward()
    torch.testing.assert_close(output, quantized)
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_stage_losses_are_mean_squares_of_what_was_sent() -> None:
    targets, words = (torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    sent = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)
    codebook, commitment = stage_losses(targets, words, sent)
    expected = (targets - words)[sent].square().mean()
    torch.testing.assert_close(codebook, expected)
    torch.testing.assert_close(commitment, expected)
    by_words, by_targets = torch.autograd.grad(expected, (words, targets))
    codebook.backward()
    assert targets.grad is None
    torch.testing.assert_close(words.grad, by_words)
    words.grad = None
    commitment.backward()
    assert words.grad is None
    torch.testing.assert_close(targets.grad, by_targets)


def _trained_once(num_codebooks: int = 3) -> tuple[ResidualVQ, Tensor]:
    torch.manual_seed(0)
    quantizer = ResidualVQ(6, num_codebooks, 8, estimator="ste")
    return quantizer, torch.randn(40, 6, requires_grad=True)


def test_the_commitment_of_every_stage_reaches_the_vectors() -> None:
    """A residual that subtracts straight-through outputs cancels it (EnCodec, issue 25)."""
    quantizer, x = _trained_once()
    out = quantizer(x)
    (by_x,) = torch.autograd.grad(out.loss, x)
    expected, residual = torch.zeros_like(x), x.detach()
    for index in range(3):
        residual = residual - quantizer.words.detach()[index, out.codes[:, index]]
        expected += 0.25 * 2 * residual / (40 * 3 * 6)
    torch.testing.assert_close(by_x, expected)


def test_no_stage_trains_the_words_of_another() -> None:
    """A residual that keeps the gradient of earlier words entangles the stages (DAC, issue 107)."""
    quantizer, x = _trained_once()
    out = quantizer(x)
    out.loss.backward()
    residual = x.detach()
    expected = torch.zeros_like(quantizer.words)
    for index in range(3):
        code = out.codes[:, index]
        residual = residual - quantizer.words.detach()[index, code]
        expected[index].index_add_(0, code, -2 * residual / (40 * 3 * 6))
    torch.testing.assert_close(quantizer.words.grad, expected)


def test_codebooks_that_are_not_sent_count_for_no_loss() -> None:
    quantizer, x = _trained_once()
    n = torch.arange(40) % 4
    out = quantizer(x, n)
    out.loss.backward()
    sent = out.codes >= 0
    residual, squares = x.detach(), x.new_zeros(())
    for index in range(3):
        residual = (
            residual - quantizer.decode(out.codes[:, : index + 1]) + quantizer.decode(out.codes[:, :index])
        )
        squares = squares + residual[sent[:, index]].square().sum()
    torch.testing.assert_close(out.loss, 1.25 * squares / (sent.sum() * 6))
    assert not _grad(x)[n == 0].any()


def test_moving_averages_follow_the_vectors_of_each_word() -> None:
    torch.manual_seed(1)
    quantizer = ResidualVQ(2, 1, 4, estimator="ema")
    x = torch.tensor([[3.0, 0.0], [3.2, 0.0], [0.0, -5.0]])
    with torch.no_grad():
        quantizer.words[0] = torch.tensor([[3.0, 0.1], [0.0, -4.0], [50.0, 50.0], [-50.0, 50.0]])
    assert quantizer.averages is not None
    quantizer.averages.restart(quantizer.words)
    before = quantizer.words.detach().clone()
    out = quantizer(x.requires_grad_())
    assert torch.equal(out.z_q, before[0, [0, 0, 1]])
    for word, vectors in ((0, x[:2]), (1, x[2:])):
        mean = (0.99 * before[0, word] + 0.01 * vectors.sum(0)) / (0.99 + 0.01 * len(vectors))
        torch.testing.assert_close(quantizer.words[0, word], mean, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(quantizer.words[0, 2:], before[0, 2:], atol=0.01, rtol=0)
    out.loss.backward()
    assert quantizer.words.grad is None
    for _ in range(600):
        quantizer(x)
    torch.testing.assert_close(quantizer.words[0, 1], x[2].detach(), atol=0.02, rtol=0)


def test_moving_averages_leave_out_what_is_not_finite() -> None:
    averages = WordAverages(torch.ones(1, 4, 3))
    words = torch.ones(1, 4, 3)
    targets = torch.stack([torch.full((1, 3), torch.nan), torch.full((1, 3), torch.inf), torch.zeros(1, 3)])
    averages.update(words, targets, torch.tensor([[0], [1], [2]]))
    assert torch.isfinite(words).all()
    assert words[0, 2, 0] < words[0, 0, 0]


def test_moving_averages_go_on_from_words_that_were_loaded_alone() -> None:
    trained, x = ResidualVQ(6, 3, 8), torch.randn(40, 6)
    trained.fit_kmeans(x)
    quantizer = ResidualVQ(6, 3, 8, estimator="ema")
    quantizer.load_state_dict({"words": trained.words.detach()}, strict=False)
    quantizer(x)
    assert (quantizer.words - trained.words).abs().max() < 0.3 * trained.words.std()


@pytest.mark.parametrize("estimator", ["nsvq", "diveq"])
def test_the_loss_of_the_noisy_estimators_is_exactly_zero(estimator: str) -> None:
    quantizer = ResidualVQ(6, 3, 8, estimator=estimator)
    assert float(quantizer(torch.randn(20, 6)).loss) == 0.0


@pytest.mark.parametrize("estimator", ["nsvq", "ste", "ema", "rotation", "diveq"])
def test_every_estimator_lowers_the_error(estimator: str) -> None:
    torch.manual_seed(0)
    mixing = torch.randn(4, 8)
    quantizer = ResidualVQ(8, 2, 16, estimator=estimator)
    quantizer.fit_kmeans(torch.randn(64, 4) @ mixing)
    unseen = torch.randn(2000, 4) @ mixing

    def error() -> float:
        with torch.no_grad():
            return float(F.mse_loss(quantizer.decode(quantizer.encode(unseen)), unseen))

    before = error()
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
    for _ in range(200):
        x = torch.randn(256, 4) @ mixing
        out = quantizer(x)
        loss = F.mse_loss(out.z_q, x) + out.loss
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
    assert error() < 0.9 * before


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(CodecError, match="unknown estimator 'magic', known are nsvq, ste"):
        ResidualVQ(4, 2, 8, estimator="magic")
    with pytest.raises(CodecError, match="unknown replacement 'none', known are usage, split"):
        ResidualVQ(4, 2, 8, replacement="none")
