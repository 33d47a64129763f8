"""Search in the directions that codebooks use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec import DEFAULT_MODEL
from codec.api import Codec
from codec.engine import Engine
from codec.evaluation.evaluate import load_clips
from codec.quantize.additive import AdditiveVQ
from codec.quantize.distances import Distances
from codec.quantize.quantizer import VectorQuantizer
from codec.quantize.residual import ResidualVQ, residual_search
from codec.quantize.subspace import LEFT_OUT, Subspace

CLIPS = Path(__file__).parent.parent / "data" / "clips"
DIM, USED = 40, 10


def _vectors(count: int) -> Tensor:
    """Vectors that lie in few directions, and as good as nowhere else."""
    directions = torch.linalg.qr(torch.randn(DIM, DIM)).Q
    energies = torch.cat([torch.ones(USED), torch.full((DIM - USED,), 1e-4)])
    return torch.randn(count, DIM) * energies.sqrt() @ directions


def _narrow(beam: int) -> tuple[ResidualVQ, Tensor]:
    """A quantizer whose words use few directions, and vectors that use all."""
    torch.manual_seed(0)
    quantizer = ResidualVQ(DIM, 4, 32, beam=beam)
    quantizer.fit_kmeans(_vectors(2000))
    return quantizer.requires_grad_(False), torch.randn(500, DIM)


def _directions(quantizer: VectorQuantizer) -> int:
    return quantizer._subspace.of(quantizer.words).distances.words.shape[2]


def _whole_search(quantizer: VectorQuantizer, x: Tensor, count: int) -> Tensor:
    """Codes found in the whole space."""
    limits = torch.full((len(x),), count)
    return residual_search(Distances(quantizer.words), x, limits, quantizer.beam)


def _errors(quantizer: VectorQuantizer, x: Tensor, codes: Tensor) -> Tensor:
    return (x - quantizer.decode(codes)).square().mean(dim=1)


@pytest.mark.parametrize("beam", [1, 4])
def test_it_finds_words_as_good_as_a_search_in_the_whole_space(beam: int) -> None:
    quantizer, x = _narrow(beam)
    assert _directions(quantizer) == 16
    codes, expected = quantizer.encode(x), _whole_search(quantizer, x, 4)
    assert (codes == expected).float().mean() > 0.95
    assert _errors(quantizer, x, codes).mean() < 1.001 * _errors(quantizer, x, expected).mean()


def test_codes_do_not_depend_on_the_vectors_beside() -> None:
    quantizer, x = _narrow(beam=4)
    x = x[:496]
    cut = [quantizer.encode(part) for part in torch.split(x, 8)]
    assert torch.equal(torch.cat(cut), quantizer.encode(x))


def test_profiles_tell_the_errors_that_prefixes_leave() -> None:
    quantizer, x = _narrow(beam=1)
    codes, errors = quantizer.profile(x)
    assert torch.equal(codes, quantizer.encode(x))
    left = [_errors(quantizer, x, codes[:, :n]) for n in range(1, 5)]
    expected = torch.stack([x.square().mean(dim=1), *left], dim=1).cummin(dim=1).values
    torch.testing.assert_close(errors.float(), expected, rtol=0.02, atol=0)


def test_replaced_words_are_searched_where_they_are_now() -> None:
    quantizer, x = _narrow(beam=4)
    quantizer.encode(x)
    quantizer.words.copy_(quantizer.words.roll(DIM // 2, dims=2))
    assert (quantizer.encode(x) == _whole_search(quantizer, x, 4)).float().mean() > 0.95


def test_no_codebook_loses_the_direction_that_it_alone_uses() -> None:
    torch.manual_seed(0)
    words = torch.zeros(3, 32, DIM)
    words[:2, :, :16] = torch.randn(2, 32, 16)
    # So little of all energy that a mean over codebooks would not see it.
    words[2, :, -1] = 1e-3 * torch.randn(32)
    space = Subspace(words)
    assert space.distances.words.shape[2] == 32
    kept = space.distances.words.square().sum(dim=(1, 2)) / words.square().sum(dim=(1, 2))
    assert (kept >= 1.0 - LEFT_OUT).all()


def test_words_that_need_all_directions_keep_them() -> None:
    torch.manual_seed(0)
    words, x = torch.randn(4, 32, DIM), torch.randn(100, DIM)
    space = Subspace(words)
    assert space.project(x) is x
    assert space.distances.words is words


def test_words_that_learn_keep_the_whole_space() -> None:
    quantizer, x = _narrow(beam=1)
    quantizer.requires_grad_(True)
    assert _directions(quantizer) == DIM
    assert torch.equal(quantizer.encode(x), _whole_search(quantizer, x, 4))


@pytest.mark.parametrize("beam", [1, 4])
def test_additive_search_is_never_worse_than_the_residual_one(beam: int) -> None:
    residual, x = _narrow(beam)
    additive = AdditiveVQ(DIM, 4, 32, beam=beam).requires_grad_(False)
    additive.words.copy_(residual.words)
    worse = _errors(additive, x, additive.encode(x)) > 1.00001 * _errors(residual, x, residual.encode(x))
    assert not worse.any()


@pytest.mark.parametrize("count", [3, 20])
def test_the_default_model_leaves_no_larger_error_by_it(count: int) -> None:
    model = Codec.load(DEFAULT_MODEL).model
    quantizer, engine, latents = model.bottleneck.quantizer, Engine(model), []
    for clip in load_clips(CLIPS)[:3]:
        audio = torch.from_numpy(clip.audio.reshape(len(clip.audio), -1)[:, 0].copy())
        hops = audio[: len(audio) // model.config.hop * model.config.hop]
        latents.append(engine.latents(hops, engine.start_encoder())[0].t())
    x = torch.cat(latents)
    found, expected = quantizer.encode(x, count), _whole_search(quantizer, x, count)
    error, least = _errors(quantizer, x, found).mean(), _errors(quantizer, x, expected).mean()
    assert error < 1.002 * least
