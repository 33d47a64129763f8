"""Residual search in the directions that the codebooks use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec import DEFAULT_MODEL
from codec.api import Codec
from codec.engine import Engine
from codec.evaluation.evaluate import load_clips
from codec.quantize.distances import Distances
from codec.quantize.residual import ResidualVQ, residual_search

CLIPS = Path(__file__).parent.parent / "data" / "clips"
DIM, USED = 40, 10


def _narrow(beam: int) -> tuple[ResidualVQ, Tensor]:
    """A quantizer whose words use few directions, and vectors that use all."""
    directions = torch.linalg.qr(torch.randn(DIM, DIM)).Q[:USED]
    quantizer = ResidualVQ(DIM, 4, 32, beam=beam)
    quantizer.fit_kmeans(torch.randn(2000, USED) @ directions)
    return quantizer.requires_grad_(False), torch.randn(500, DIM)


def _whole_search(quantizer: ResidualVQ, x: Tensor) -> Tensor:
    limits = torch.full((len(x),), quantizer.num_codebooks)
    return residual_search(Distances(quantizer.words), x, limits, quantizer.beam)


@pytest.mark.parametrize("beam", [1, 4])
def test_it_finds_the_words_of_a_search_in_the_whole_space(beam: int) -> None:
    torch.manual_seed(0)
    quantizer, x = _narrow(beam)
    assert quantizer._subspace.of(quantizer.words).distances.words.shape == (4, 32, 16)
    assert torch.equal(quantizer.encode(x), _whole_search(quantizer, x))


def test_profiles_count_what_no_word_reaches() -> None:
    torch.manual_seed(0)
    quantizer, x = _narrow(beam=1)
    codes, errors = quantizer.profile(x)
    assert torch.equal(codes, quantizer.encode(x))
    left = [(x - quantizer.decode(codes[:, :n])).square().mean(dim=1) for n in range(1, 5)]
    expected = torch.stack([x.square().mean(dim=1), *left], dim=1).cummin(dim=1).values
    torch.testing.assert_close(errors.float(), expected)


def test_changed_words_are_searched_where_they_are_now() -> None:
    torch.manual_seed(0)
    quantizer, x = _narrow(beam=4)
    quantizer.encode(x)
    quantizer.words.copy_(quantizer.words.roll(DIM // 2, dims=2))
    assert torch.equal(quantizer.encode(x), _whole_search(quantizer, x))


def test_words_that_need_all_directions_keep_them() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVQ(DIM, 4, 32).requires_grad_(False)
    x = torch.randn(100, DIM)
    space = quantizer._subspace.of(quantizer.words)
    assert space.project(x) is x
    assert space.distances.words is quantizer.words


def test_words_that_learn_keep_the_whole_space() -> None:
    torch.manual_seed(0)
    quantizer, x = _narrow(beam=1)
    learning = quantizer.requires_grad_(True)
    assert learning._subspace.of(learning.words).distances.words.shape[2] == DIM
    assert torch.equal(learning.encode(x), _whole_search(learning, x))


@pytest.mark.parametrize("count", [3, 20])
def test_the_released_model_loses_nothing_by_it(count: int) -> None:
    model = Codec.load(DEFAULT_MODEL).model
    quantizer, engine = model.bottleneck.quantizer, Engine(model)
    assert isinstance(quantizer, ResidualVQ)
    latents = []
    for clip in load_clips(CLIPS)[:3]:
        audio = torch.from_numpy(clip.audio.reshape(len(clip.audio), -1)[:, 0].copy())
        whole = audio[: len(audio) // model.config.hop * model.config.hop]
        latents.append(engine.latents(whole, engine.start_encoder())[0].t())
    x = torch.cat(latents)
    assert quantizer._subspace.of(quantizer.words).distances.words.shape[2] < model.config.dim
    limits = torch.full((len(x),), count)
    whole = residual_search(Distances(quantizer.words), x, limits, quantizer.beam)
    errors = [(x - quantizer.decode(codes)).square().mean() for codes in (quantizer.encode(x, count), whole)]
    assert errors[0] < 1.001 * errors[1]
