"""The additive quantizer on plain vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.errors import CodecError
from codec.quantize import AdditiveVQ, ResidualVQ
from codec.quantize import union as union_module
from codec.quantize.union import UnionTables, search_union


def _squared_error(quantizer: AdditiveVQ | ResidualVQ, x: Tensor, codes: Tensor) -> Tensor:
    with torch.no_grad():
        return (x.double() - quantizer.decode(codes).double()).square().sum(dim=1)


def _fitted(**options: int) -> tuple[AdditiveVQ, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 6, generator=generator) @ torch.randn(6, 12, generator=generator)
    quantizer = AdditiveVQ(12, 4, 16, **options)
    quantizer.fit_kmeans(x)
    return quantizer, x


def _random(sizes: tuple[int, int, int], seed: int, beam: int) -> AdditiveVQ:
    """Codebooks of random words of one scale, where the order of the search matters most."""
    quantizer = AdditiveVQ(*sizes, beam=beam)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        quantizer.words.copy_(torch.randn(quantizer.words.shape, generator=generator))
    return quantizer


@pytest.mark.parametrize(("num_codebooks", "size"), [(1, 7), (2, 8), (3, 4), (3, 5), (4, 3), (5, 2)])
def test_an_unlimited_beam_is_the_search_over_all_combinations(num_codebooks: int, size: int) -> None:
    quantizer = _random((5, num_codebooks, size), seed=num_codebooks, beam=10_000)
    x = torch.randn(2000, 5, generator=torch.Generator().manual_seed(2)) * num_codebooks**0.5
    everything = torch.cartesian_prod(*[torch.arange(size)] * num_codebooks).view(-1, num_codebooks)
    best = torch.cdist(x.double(), quantizer.decode(everything).detach().double()).argmin(dim=1)
    assert torch.equal(quantizer.encode(x), everything[best])


def _reference_beam_search(words: np.ndarray, x: np.ndarray, beam: int) -> tuple[int, ...]:
    """One vector, sets in a dictionary, distances from scratch."""
    count, size, _ = words.shape
    sets: dict[frozenset[tuple[int, int]], float] = {frozenset(): 0.0}
    for _ in range(count):
        children = {
            chosen | {(index, code)}
            for chosen in sets
            for index in range(count)
            if index not in {used for used, _ in chosen}
            for code in range(size)
        }
        error = {each: float(np.square(x - sum(words[i, c] for i, c in each)).sum()) for each in children}
        sets = dict(sorted(error.items(), key=lambda item: item[1])[:beam])
    best = min(sets, key=lambda each: sets[each])
    return tuple(code for _, code in sorted(best))


@pytest.mark.parametrize("beam", [1, 2, 5, 16])
def test_each_beam_keeps_the_best_sets_that_differ(beam: int) -> None:
    quantizer = _random((6, 4, 8), seed=beam, beam=beam)
    words = quantizer.words.detach()
    x = 2.0 * torch.randn(25, 6, generator=torch.Generator().manual_seed(7))
    tables = UnionTables(words)
    found = search_union(tables, tables.scores(x), 4, beam)
    for row, codes in zip(x, found, strict=True):
        expected = _reference_beam_search(words.double().numpy(), row.double().numpy(), beam)
        assert tuple(codes.tolist()) == expected


@pytest.mark.parametrize("beam", [1, 3, 16])
@pytest.mark.parametrize(
    "make", [_fitted, lambda beam: (_random((12, 4, 16), 5, beam), torch.randn(600, 12))]
)
def test_it_is_never_worse_than_the_residual_search(
    make: Callable[..., tuple[AdditiveVQ, Tensor]], beam: int
) -> None:
    quantizer, x = make(beam=beam)
    for width in (1, beam):  # what a beam finds may be worse than what the greedy search does
        residual = ResidualVQ(12, 4, 16, beam=width)
        residual.load_state_dict(quantizer.state_dict())
        for n in (1, 2, 4):
            error = _squared_error(quantizer, x, quantizer.encode(x, n))
            assert (error <= _squared_error(residual, x, residual.encode(x, n)) * (1 + 1e-6)).all()


def test_wider_beams_and_polish_lower_the_error() -> None:
    quantizer, x = _fitted(beam=1)
    residual = ResidualVQ(12, 4, 16)
    residual.load_state_dict(quantizer.state_dict())
    errors = [_squared_error(residual, x, residual.encode(x)).mean()]
    for beam in (1, 4, 16, 64):
        quantizer.beam = beam
        errors.append(_squared_error(quantizer, x, quantizer.encode(x)).mean())
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < 0.9 * errors[0]
    quantizer.beam = 1
    before = _squared_error(quantizer, x, quantizer.encode(x))
    quantizer.polish = 3
    after = _squared_error(quantizer, x, quantizer.encode(x))
    assert (after <= before * (1 + 1e-6)).all()
    assert (after < 0.99 * before).any()


def test_n_codebooks_are_the_first_n_searched_together() -> None:
    quantizer, x = _fitted(beam=8, polish=1)
    fewer = AdditiveVQ(12, 2, 16, beam=8, polish=1)
    with torch.no_grad():
        fewer.words.copy_(quantizer.words[:2])
    codes = quantizer.encode(x, 2)
    assert torch.equal(codes[:, :2], fewer.encode(x))
    assert (codes[:, 2:] == -1).all()
    assert torch.equal(quantizer.encode(x[:3], 0), torch.full((3, 4), -1))
    assert not torch.equal(quantizer.encode(x)[:, :2], codes[:, :2])


@pytest.mark.parametrize("training", [False, True])
def test_every_vector_has_its_own_number_of_codebooks(training: bool) -> None:
    quantizer, x = _fitted(beam=4)
    n = torch.arange(len(x)) % 5
    codes = quantizer(x, n).codes if training else quantizer.encode(x, n)
    for count in range(5):
        assert torch.equal(codes[n == count], quantizer.encode(x, count)[n == count])


def test_codes_do_not_depend_on_the_vectors_beside_them() -> None:
    quantizer, x = _fitted(beam=8, polish=1)
    quantizer.requires_grad_(False)
    n = torch.randint(0, 5, (len(x),), generator=torch.Generator().manual_seed(0))
    together = quantizer.encode(x, n)
    for start, size in ((0, 8), (64, 64), (120, 24)):
        part = slice(start, start + size)
        assert torch.equal(quantizer.encode(x[part].contiguous(), n[part]), together[part])


def test_large_codebooks_do_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, x = _fitted(beam=8)
    tabled = quantizer.encode(x)
    monkeypatch.setattr(union_module, "_MOST_TABLED_WORDS", 63)
    assert UnionTables(quantizer.words).products is None
    codes = quantizer.encode(x)
    # Sums in another order may turn near ties.
    assert (codes == tabled).all(dim=1).float().mean() > 0.99
    torch.testing.assert_close(_squared_error(quantizer, x, codes), _squared_error(quantizer, x, tabled))


def test_kept_tables_follow_the_words() -> None:
    quantizer, x = _fitted(beam=4)
    quantizer.requires_grad_(False)
    before = quantizer.encode(x)
    assert quantizer._tables.of(quantizer.words) is quantizer._tables.of(quantizer.words)
    quantizer.words.mul_(-1.0)
    assert torch.equal(quantizer.encode(-x), before)


def test_one_codebook_is_plain_vector_quantization() -> None:
    x = torch.randn(200, 8)
    quantizer = AdditiveVQ(8, 1, 16)
    quantizer.fit_kmeans(x)
    assert torch.equal(
        quantizer.encode(x)[:, 0], torch.cdist(x.double(), quantizer.words[0].double()).argmin(1)
    )


@pytest.mark.parametrize("estimator", ["nsvq", "ste", "ema", "rotation", "diveq"])
def test_it_trains_by_every_estimator(estimator: str) -> None:
    torch.manual_seed(0)
    mixing = torch.randn(4, 8)
    quantizer = AdditiveVQ(8, 3, 8, estimator=estimator)
    quantizer.fit_kmeans(torch.randn(32, 4) @ mixing)
    unseen = torch.randn(1000, 4) @ mixing
    before = _squared_error(quantizer, unseen, quantizer.encode(unseen)).mean()
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
    for _ in range(100):
        x = torch.randn(128, 4) @ mixing
        out = quantizer(x)
        loss = (out.z_q - x).square().mean() + out.loss
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
    assert _squared_error(quantizer, unseen, quantizer.encode(unseen)).mean() < 0.9 * before


def test_constant_vectors_and_rows_of_nan_in_training_end_in_codes() -> None:
    quantizer, x = _fitted(beam=4)
    spoiled = x[:5].clone()
    spoiled[2] = torch.nan
    out = quantizer(spoiled)
    assert torch.isfinite(out.z_q).all(dim=1).tolist() == [True, True, False, True, True]
    assert torch.equal(out.codes[[0, 1, 3, 4]], quantizer(x[[0, 1, 3, 4]]).codes)
    constant = AdditiveVQ(3, 2, 5)
    constant.fit_kmeans(torch.full((20, 3), 2.5))
    decoded = constant.decode(constant.encode(torch.full((4, 3), 2.5)))
    torch.testing.assert_close(decoded, torch.full((4, 3), 2.5))


def test_bad_options_are_refused() -> None:
    with pytest.raises(CodecError, match="polish must be at least 0"):
        AdditiveVQ(8, 2, 16, polish=-1)
    quantizer, x = _fitted()
    with pytest.raises(CodecError, match="between 0 and 4"):
        quantizer.encode(x, 5)
    x[0, 0] = torch.inf
    with pytest.raises(CodecError, match="must be finite"):
        quantizer.encode(x)
