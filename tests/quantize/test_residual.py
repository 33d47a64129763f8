"""The residual quantizer on plain vectors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from codec.errors import CodecError
from codec.quantize import beam as beam_file
from codec.quantize import quantizer as quantizer_file
from codec.quantize import residual as residual_file
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


@pytest.mark.parametrize("training", [False, True])
def test_every_vector_has_its_own_number_of_codebooks(training: bool) -> None:
    quantizer, x = _fitted()
    n = torch.arange(len(x)) % 5
    codes = quantizer(x, n).codes if training else quantizer.encode(x, n)
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
    for code in (16, -2):
        with pytest.raises(CodecError, match="below 16"):
            quantizer.decode(torch.tensor([[code, 0, 0, 0]]))
    with pytest.raises(CodecError, match="at most 4 codebooks"):
        quantizer.decode(torch.zeros(1, 5, dtype=torch.int64))
    assert quantizer.encode(x[:0]).shape == (0, 4)


def _squared_error(quantizer: ResidualVQ, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return (x - quantizer.decode(codes)).square().sum(dim=1)


def test_an_unlimited_beam_is_the_search_over_all_combinations() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(5, 3, 4, beam=10_000)
    x = torch.randn(50, 5)
    everything = torch.cartesian_prod(*[torch.arange(4)] * 3)
    best = torch.cdist(x.double(), quantizer.decode(everything).detach().double()).argmin(dim=1)
    assert torch.equal(quantizer.encode(x), everything[best])


def test_a_beam_lowers_the_error_at_every_number_of_codebooks() -> None:
    quantizer, x = _fitted()
    for n in (2, 3, 4):
        greedy = _squared_error(quantizer, x, quantizer.encode(x, n)).mean()
        quantizer.beam = 8
        assert _squared_error(quantizer, x, quantizer.encode(x, n)).mean() < 0.97 * greedy
        quantizer.beam = 1


def test_a_beam_gives_every_vector_its_own_number_of_codebooks() -> None:
    quantizer, x = _fitted()
    quantizer.beam = 4
    n = torch.arange(len(x)) % 5
    codes = quantizer.encode(x, n)
    for count in range(5):
        assert torch.equal(codes[n == count], quantizer.encode(x, count)[n == count])


def test_one_codebook_with_a_beam_is_plain_vector_quantization() -> None:
    quantizer, x = _fitted(num_codebooks=1)
    codes = quantizer.encode(x)
    quantizer.beam = 100
    assert torch.equal(quantizer.encode(x), codes)


def test_bad_sizes_and_vectors_are_refused() -> None:
    for sizes, message in (
        ((8, 0, 16), "num_codebooks must be at least 1, not 0"),
        ((0, 2, 16), "dim must be at least 1"),
        ((8, 2, 1), "codebook_size must be at least 2"),
    ):
        with pytest.raises(CodecError, match=message):
            ResidualVQ(*sizes)
    with pytest.raises(CodecError, match="beam must be at least 1"):
        ResidualVQ(8, 2, 16, beam=0)
    quantizer, x = _fitted()
    x[3, 2] = torch.nan
    with pytest.raises(CodecError, match="must be finite"):
        quantizer.encode(x)
    with pytest.raises(CodecError, match="must be finite"):
        quantizer.fit_kmeans(x)
    with pytest.raises(CodecError, match=r"must be \[N, 8\], not \[2, 7\]"):
        quantizer.encode(torch.zeros(2, 7))


def test_a_row_of_nan_passes_through_training_alone() -> None:
    quantizer, x = _fitted()
    spoiled = x[:6].clone()
    spoiled[2] = torch.nan
    finite = torch.isfinite(quantizer(spoiled).z_q).all(dim=1)
    assert finite.tolist() == [True, True, False, True, True, True]


def test_any_number_of_words_and_constant_vectors_do() -> None:
    quantizer = ResidualVQ(3, 2, 5)
    quantizer.fit_kmeans(torch.full((20, 3), 2.5))
    assert torch.equal(quantizer.decode(quantizer.encode(torch.full((4, 3), 2.5))), torch.full((4, 3), 2.5))


@pytest.mark.parametrize("width", [1, 4])
def test_a_search_that_asks_for_nothing_finds_the_same(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    quantizer, x = _fitted()
    quantizer.beam = width
    counts = torch.arange(400) % 5
    codes = quantizer.encode(x[:400], counts)
    for place in (quantizer_file, residual_file, beam_file):
        monkeypatch.setattr(place, "runs_ahead", lambda x: True)
    assert torch.equal(quantizer.quantize(x[:400], counts), quantizer.decode(codes))


def test_training_passes_of_rows_that_are_not_finite_go_on() -> None:
    quantizer, x = _fitted()
    x[7] = torch.nan
    found = quantizer.quantize(x[:16])
    kept = [row for row in range(16) if row != 7]
    assert torch.equal(found[kept], quantizer.decode(quantizer.encode(x[kept])))


def test_it_trains_and_searches_under_autocast() -> None:
    quantizer, x = _fitted()
    with torch.autocast("cpu", torch.bfloat16):
        found = quantizer(x[:100])
        codes = quantizer.encode(x[:100])
    # Rounded products find other words only where two are nearly as near.
    exact = quantizer.encode(x[:100])
    for rounded in (found.codes, codes):
        assert (rounded[:, 0] == exact[:, 0]).float().mean() > 0.9
