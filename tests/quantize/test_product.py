"""The product quantizer on plain vectors."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from codec.errors import CodecError
from codec.quantize import ProductVQ


def _vectors(seed: int = 0, count: int = 3000) -> Tensor:
    """Blocks of two numbers with standard deviations 1, 4, 2, 8 around means 10, 20, 30, 40."""
    scales = torch.tensor([1.0, 4.0, 2.0, 8.0]).repeat_interleave(2)
    means = torch.tensor([10.0, 20.0, 30.0, 40.0]).repeat_interleave(2)
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) * scales + means


def _fitted(rotation: bool = False) -> tuple[ProductVQ, Tensor]:
    x = _vectors()
    quantizer = ProductVQ(8, 4, 16, rotation=rotation)
    quantizer.fit_kmeans(x)
    return quantizer, x


def _error(quantizer: ProductVQ, x: Tensor, n: int | None = None) -> float:
    with torch.no_grad():
        return float((x - quantizer.decode(quantizer.encode(x, n))).square().mean())


@pytest.mark.parametrize("rotation", [False, True])
def test_constant_vectors_do(rotation: bool) -> None:
    quantizer = ProductVQ(4, 2, 5, rotation=rotation)
    quantizer.fit_kmeans(torch.full((20, 4), 2.5))
    x = torch.full((3, 4), 2.5)
    for n in (2, 0):
        torch.testing.assert_close(quantizer.decode(quantizer.encode(x, n)), x, rtol=0, atol=1e-5)
    assert torch.isfinite(quantizer(x).z_q).all()


def test_any_beam_finds_the_same() -> None:
    quantizer, x = _fitted()
    wide = ProductVQ(8, 4, 16, beam=16, train_beam=4)
    wide.load_state_dict(quantizer.state_dict())
    assert torch.equal(wide.encode(x), quantizer.encode(x))
    with pytest.raises(CodecError, match="beam must be at least 1, not 0"):
        ProductVQ(8, 4, 16, beam=0)


def test_codes_are_those_of_plain_quantizers_of_the_blocks() -> None:
    quantizer, x = _fitted()
    codes = quantizer.encode(x)
    decoded = quantizer.decode(codes)
    for index, block in enumerate(quantizer.order.tolist()):
        part = slice(2 * block, 2 * block + 2)
        distances = torch.cdist(x[:, part].double(), quantizer.words[index].double())
        assert torch.equal(codes[:, index], distances.argmin(dim=1))
        assert torch.equal(decoded[:, part], quantizer.words[index, codes[:, index]])


def test_codebooks_come_in_the_order_of_the_energy_they_explain() -> None:
    quantizer, x = _fitted()
    assert quantizer.order.tolist() == [3, 1, 2, 0]
    errors = [_error(quantizer, x, n) for n in range(5)]
    gains = [before - after for before, after in itertools.pairwise(errors)]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0


def test_blocks_that_are_not_sent_decode_to_their_mean() -> None:
    quantizer, x = _fitted()
    mean = x.mean(dim=0)
    torch.testing.assert_close(quantizer.decode(quantizer.encode(x[:2], 0)), mean.expand(2, -1))
    codes = quantizer.encode(x, 1)
    decoded = quantizer.decode(codes)
    torch.testing.assert_close(decoded[:, :6], mean[:6].expand(len(x), -1))
    assert torch.equal(quantizer.decode(codes[:, :1]), decoded)


@pytest.mark.parametrize("rotation", [False, True])
def test_every_vector_has_its_own_number_of_codebooks(rotation: bool) -> None:
    quantizer, x = _fitted(rotation)
    n = torch.arange(len(x)) % 5
    codes = quantizer.encode(x, n)
    assert torch.equal(codes, torch.where(torch.arange(4) < n[:, None], quantizer.encode(x), -1))
    prefix = quantizer.decode(codes[n == 2][:, :2])
    assert torch.equal(prefix, quantizer.decode(codes[n == 2]))


def test_a_learned_rotation_is_orthogonal_and_lowers_the_error_of_correlated_vectors() -> None:
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(3, 8, generator=generator)
    x, unseen = (torch.randn(4000, 3, generator=generator) @ mixing for _ in range(2))
    plain, rotated = ProductVQ(8, 4, 16), ProductVQ(8, 4, 16, rotation=True)
    plain.fit_kmeans(x)
    rotated.fit_kmeans(x)
    assert rotated.rotation is not None
    torch.testing.assert_close(rotated.rotation @ rotated.rotation.t(), torch.eye(8), atol=1e-5, rtol=0)
    assert _error(rotated, unseen) < 0.7 * _error(plain, unseen)


@pytest.mark.parametrize("rotation", [False, True])
def test_a_decoded_vector_does_not_depend_on_those_beside_it(rotation: bool) -> None:
    quantizer, x = _fitted(rotation)
    codes = quantizer.encode(x[:200])
    together = quantizer.decode(codes)
    for start, size in ((0, 1), (7, 5), (50, 64), (60, 130)):
        assert torch.equal(quantizer.decode(codes[start : start + size]), together[start : start + size])


def test_one_codebook_is_plain_vector_quantization() -> None:
    x = _vectors()
    quantizer = ProductVQ(8, 1, 16)
    quantizer.fit_kmeans(x)
    assert torch.equal(
        quantizer.encode(x)[:, 0], torch.cdist(x.double(), quantizer.words[0].double()).argmin(1)
    )


@pytest.mark.parametrize("rotation", [False, True])
def test_training_noise_has_the_length_of_the_whole_error(rotation: bool) -> None:
    quantizer, x = _fitted(rotation)
    n = torch.arange(len(x)) % 5
    out = quantizer(x, n)
    hard = quantizer.decode(out.codes)
    torch.testing.assert_close((out.z_q - x).norm(dim=1), (hard - x).norm(dim=1))
    out.z_q.square().sum().backward()
    assert quantizer.words.grad is not None
    assert bool(quantizer.words.grad.any())


def test_the_means_follow_the_vectors_of_the_training() -> None:
    quantizer, x = _fitted()
    for _ in range(600):
        quantizer(x[:100] + 5.0)
    expected = (x[:100] + 5.0).mean(dim=0)
    torch.testing.assert_close(quantizer.decode(torch.full((1, 4), -1))[0], expected, atol=0.1, rtol=0)
    before = quantizer.means.clone()
    quantizer(torch.full((2, 8), torch.nan))
    assert torch.equal(quantizer.means, before)


@pytest.mark.parametrize("estimator", ["ste", "ema", "rotation", "diveq"])
def test_it_trains_by_every_estimator(estimator: str) -> None:
    torch.manual_seed(0)
    quantizer = ProductVQ(8, 4, 16, estimator=estimator)
    quantizer.fit_kmeans(_vectors(count=20))
    unseen = _vectors(seed=8)
    before = _error(quantizer, unseen)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for step in range(150):
        x = _vectors(seed=step + 10, count=256)
        out = quantizer(x)
        loss = (out.z_q - x).square().mean() + out.loss
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
    assert _error(quantizer, unseen) < 0.9 * before


def test_the_frame_of_a_quantizer_is_saved() -> None:
    quantizer, x = _fitted(rotation=True)
    copy = ProductVQ(8, 4, 16, rotation=True)
    copy.load_state_dict(quantizer.state_dict())
    assert torch.equal(copy.decode(copy.encode(x, 2)), quantizer.decode(quantizer.encode(x, 2)))


def test_blocks_must_be_equal() -> None:
    with pytest.raises(CodecError, match="3 codebooks do not divide the 8 numbers"):
        ProductVQ(8, 3, 16)
    with pytest.raises(CodecError, match="num_codebooks must be at least 1"):
        ProductVQ(8, 0, 16)
