"""The residual quantizer on plain vectors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from codec.errors import CodecError
from codec.quantize.residual import ResidualVQ


def _fitted(seed: int = 0, num_codebooks: int = 4) -> tuple[ResidualVQ, torch.Tensor]:
    x = torch.randn(3000, 8, generator=torch.Generator().manual_seed(seed))
    quantizer = ResidualVQ(8, num_codebooks, 16)
    quantizer.fit_kmeans(x)
    return quantizer, x


def test_codes_are_the_greedy_search_in_float64(rng: np.random.Generator) -> None:
    quantizer, _ = _fitted()
    x = torch.from_numpy(rng.standard_normal((100, 8)).astype(np.float32))
    residual = x.double()
    expected = []
    for words in quantizer.words.double():
        code = (residual[:, None] - words[None]).square().sum(-1).argmin(1)
        residual = residual - words[code]
        expected.append(code)
    codes = quantizer.encode(x)
    assert torch.equal(codes, torch.stack(expected, 1))
    torch.testing.assert_close(quantizer.decode(codes).double(), x.double() - residual, atol=1e-5, rtol=0)


def test_each_codebook_lowers_the_error() -> None:
    quantizer, x = _fitted()
    with torch.no_grad():
        errors = [float((x - quantizer.decode(quantizer.encode(x, n))).square().mean()) for n in range(5)]
    assert errors[0] == pytest.approx(float(x.square().mean()))
    assert all(later < 0.9 * earlier for earlier, later in itertools.pairwise(errors))


def test_the_first_codes_are_a_coarser_frame() -> None:
    quantizer, x = _fitted()
    codes = quantizer.encode(x)
    for n in (1, 2, 3):
        fewer = quantizer.encode(x, n)
        assert torch.equal(fewer[:, :n], codes[:, :n])
        assert (fewer[:, n:] == -1).all()
        assert torch.equal(quantizer.decode(fewer), quantizer.decode(codes[:, :n]))


@pytest.mark.parametrize("skip_finished", [False, True])
def test_every_vector_has_its_own_number_of_codebooks(skip_finished: bool) -> None:
    quantizer, x = _fitted()
    n = torch.arange(len(x)) % 5
    codes = quantizer.encode(x, n, skip_finished)
    columns = torch.arange(4)
    expected = torch.where(columns < n[:, None], quantizer.encode(x), -1)
    assert torch.equal(codes, expected)


def test_gradients_reach_the_chosen_words_alone() -> None:
    quantizer, x = _fitted()
    codes = quantizer.encode(x[:3])
    quantizer.decode(codes).sum().backward()
    gradient = quantizer.words.grad
    assert gradient is not None
    chosen = torch.zeros(4, 16)
    for row in codes:
        chosen[torch.arange(4), row] += 1
    assert torch.equal(gradient[..., 0], chosen)


def test_one_codebook_is_plain_vector_quantization() -> None:
    quantizer, x = _fitted(num_codebooks=1)
    distances = torch.cdist(x.double(), quantizer.words[0].double())
    assert torch.equal(quantizer.encode(x)[:, 0], distances.argmin(1))


def test_wrong_counts_and_codes_are_refused() -> None:
    quantizer, x = _fitted()
    for n in (-1, 5):
        with pytest.raises(CodecError, match="between 0 and 4"):
            quantizer.encode(x, n)
    with pytest.raises(CodecError, match="below 16"):
        quantizer.decode(torch.tensor([[16, 0, 0, 0]]))
    with pytest.raises(CodecError, match="at most 4 codebooks"):
        quantizer.decode(torch.zeros(1, 5, dtype=torch.int64))
    assert quantizer.encode(x[:0]).shape == (0, 4)
