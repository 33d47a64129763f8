"""k-means, usage counts and the replacement of unused words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.errors import CodecError
from codec.quantize import ResidualVQ
from codec.quantize.codebooks import (
    CodebookUsage,
    Donors,
    fit_kmeans,
    nearest_words,
    perplexity,
    replace_unused,
)


def test_nearest_words_equal_brute_force(rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.standard_normal((200, 6)))
    words = torch.from_numpy(rng.standard_normal((32, 6)))
    distances = (x[:, None] - words[None]).square().sum(-1)
    assert torch.equal(nearest_words(x, words), distances.argmin(1))


def test_kmeans_finds_separate_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 10.0 * torch.eye(4)
    x = centres.repeat_interleave(50, 0) + 0.1 * torch.randn(200, 4, generator=generator)
    # Eight centres for four clusters: every cluster keeps at least one, whatever the random start.
    found = fit_kmeans(x, 8, 20, generator)
    assert torch.cdist(centres, found).min(dim=1).values.max() < 1.0


def test_kmeans_lowers_the_error_of_its_start() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 8, generator=generator)

    def error(words: torch.Tensor) -> float:
        return float((x - words[nearest_words(x, words)]).square().mean())

    assert error(fit_kmeans(x, 64, 10, torch.Generator().manual_seed(1))) < 0.9 * error(x[:64])


@pytest.mark.parametrize("iterations", [1, 5])
def test_kmeans_leaves_no_centre_unused_on_constant_vectors(iterations: int) -> None:
    found = fit_kmeans(torch.ones(20, 3), 4, iterations, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, torch.ones(4, 3))


def test_kmeans_refuses_too_few_or_broken_vectors() -> None:
    generator = torch.Generator()
    with pytest.raises(CodecError, match="at least 8"):
        fit_kmeans(torch.zeros(7, 2), 8, 1, generator)
    with pytest.raises(CodecError, match="finite"):
        fit_kmeans(torch.full((9, 2), torch.nan), 8, 1, generator)


def test_usage_counts_words_and_passes_over_those_not_sent() -> None:
    usage = CodebookUsage(2, 4)
    usage.add(torch.tensor([[0, -1], [0, 3], [2, 3]]))
    assert usage.counts.tolist() == [[2, 0, 1, 0], [0, 0, 0, 2]]


def test_perplexity_is_the_number_of_evenly_used_words() -> None:
    counts = torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(perplexity(counts), torch.tensor([4.0, 1.0, 1.0]))
    usage = CodebookUsage(3, 4)
    usage.counts += counts
    torch.testing.assert_close(usage.perplexity, perplexity(counts))


def _used(usage: CodebookUsage, rows: list[int], times: int = 100) -> None:
    usage.add(torch.tensor(rows * times)[:, None])


def test_unused_words_become_distinct_neighbours_of_used_ones() -> None:
    usage = CodebookUsage(1, 6)
    words = torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(3)) * 100.0
    before = words.clone()
    _used(usage, [1, 4])
    (replaced,) = replace_unused(words, usage, threshold=0.05, rows_per_word=20)
    assert replaced.tolist() == [0, 2, 3, 5]
    assert torch.equal(words[0, [1, 4]], before[0, [1, 4]])
    distance = torch.cdist(words[0, replaced], before[0, [1, 4]]).min(dim=1).values
    # Near its donor, yet another point also in float32 and at large values.
    assert (distance > 0).all()
    assert (distance < 0.05 * before.norm()).all()
    assert len(torch.unique(words[0], dim=0)) == 6
    assert not usage.counts.any()


def test_a_codebook_is_judged_only_after_enough_rows() -> None:
    usage = CodebookUsage(1, 4)
    words = torch.randn(1, 4, 2)
    before = words.clone()
    _used(usage, [1], times=79)
    assert len(replace_unused(words, usage, 0.05, rows_per_word=20)[0]) == 0
    assert torch.equal(words, before)
    assert int(usage.counts.sum()) == 79
    _used(usage, [1], times=1)
    assert len(replace_unused(words, usage, 0.05, rows_per_word=20)[0]) == 3


def test_splitting_takes_the_heaviest_cell_each_time() -> None:
    usage = CodebookUsage(1, 6)
    words = torch.eye(6).unsqueeze(0) * 100.0
    _used(usage, [1] * 8 + [4] * 3)
    replace_unused(words, usage, threshold=0.05, rows_per_word=20, donors="split")
    # 8 and 3, then 4 4 3, where the first of equals goes, then 4 2 2 3, then 2 2 2 2 3.
    nearest = torch.cdist(words[0, [0, 2, 3, 5]], torch.eye(6) * 100.0).argmin(dim=1)
    assert nearest.tolist() == [1, 1, 4, 1]


def test_replaced_words_begin_their_averages_anew() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(4, 2, 8, estimator="ema")
    quantizer.usage.add(torch.tensor([[0, 3], [5, 3]] * 100))
    replaced = quantizer.replace_unused(0.05, 1)
    assert [len(rows) for rows in replaced] == [6, 7]
    after = quantizer.words.detach().clone()
    for _ in range(20):
        # Far from all words but one: the others keep their places.
        quantizer(torch.full((3, 4), 100.0))
    moved = (quantizer.words - after).norm(dim=2) > 0.01
    assert moved.sum(dim=1).max() <= 1


def test_counts_survive_a_checkpoint_and_replacement_repeats() -> None:
    outcomes = []
    for _ in range(2):
        usage = CodebookUsage(1, 6)
        _used(usage, [0, 5])
        copy = CodebookUsage(1, 6)
        copy.load_state_dict(usage.state_dict())
        words = torch.arange(12.0).view(1, 6, 2)
        replace_unused(words, copy, 0.05, 1)
        outcomes.append(words)
    assert torch.equal(*outcomes)


@pytest.mark.parametrize("donors", ["usage", "split"])
def test_a_codebook_collapsed_to_one_word_spreads_out_again(donors: Donors) -> None:
    usage = CodebookUsage(1, 8)
    words = torch.ones(1, 8, 4)
    _used(usage, [3])
    replace_unused(words, usage, 0.05, rows_per_word=1, donors=donors)
    assert len(torch.unique(words[0], dim=0)) == 8


@pytest.mark.parametrize("donors", ["usage", "split"])
def test_words_that_are_replaced_are_never_copied(donors: Donors) -> None:
    usage = CodebookUsage(1, 4)
    words = torch.tensor([[[1.0], [50.0], [50.0], [50.0]]])
    usage.counts[0] = torch.tensor([1000, 1, 1, 1])
    replace_unused(words, usage, 0.05, rows_per_word=1, donors=donors)
    torch.testing.assert_close(words[0], torch.ones(4, 1), atol=0.1, rtol=0)
