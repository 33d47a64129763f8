"""The baselines code vectors as their names say, and our residual codes are those of another library."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from codec.errors import CodecError
from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ
from recipes.common.baselines import Baseline, fit_baseline, fit_lsq
from recipes.common.vectors import Training, code_vectors, train_on_vectors

FAISS = {"kmeans_residual", "kmeans_product", "opq", "lsq"}


def vectors(count: int, seed: int) -> Tensor:
    """Correlated vectors ``[count, 8]``, of the same kind for all seeds."""
    mixing = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) @ mixing


def error(decoded: Tensor, x: Tensor) -> float:
    return float((decoded - x).square().mean() / x.square().mean())


def test_the_words_of_lsq_are_those_of_its_codes() -> None:
    faiss = pytest.importorskip("faiss", reason="of the extra recipes")
    learn = vectors(500, seed=1)
    code, words = fit_lsq(learn, num_codebooks=2, bits=4, seed=0)
    ours = AdditiveVQ(8, 2, 16, beam=256).requires_grad_(False)
    ours.words.copy_(words)
    decoded = code(learn)
    codes = torch.cdist(decoded, (words[0].unsqueeze(1) + words[1]).flatten(0, 1)).argmin(1)
    found = ours.decode(torch.stack([codes // 16, codes % 16], dim=1))
    torch.testing.assert_close(found, decoded, atol=1e-5, rtol=1e-5)
    # Of two codebooks this beam holds all pairs: no search finds better ones.
    assert error(code_vectors(ours, learn), learn) <= error(decoded, learn) * (1 + 1e-6), faiss.__version__


@pytest.mark.parametrize("name", get_args(Baseline))
def test_a_baseline_is_about_as_good_as_it_should_be(name: Baseline) -> None:
    pytest.importorskip("faiss" if name in FAISS else "sklearn", reason="of the extra recipes")
    learn, held_out = vectors(2000, seed=1), vectors(500, seed=2)
    code = fit_baseline(name, learn, num_codebooks=2, bits=4, seed=0)
    found = error(code(held_out), held_out)
    ours = (ProductVQ if "product" in name else ResidualVQ)(8, 2, 16)
    ours.fit_kmeans(learn)
    reference = error(code_vectors(ours, held_out), held_out)
    assert found < (1.2 if name != "opq" else 1.5) * reference
    # Eight bits cannot tell vectors without an error.
    assert found > 0.01


def test_training_on_vectors_beats_its_start() -> None:
    learn, held_out = vectors(4000, seed=1), vectors(1000, seed=2)
    training = Training(300, 64, 1e-2, 50, 0.8, 0.1, 20)
    started, trained = ResidualVQ(8, 2, 16), ResidualVQ(8, 2, 16)
    started.fit_kmeans(learn, seed=3)
    train_on_vectors(trained, learn, training, seed=3)
    assert error(code_vectors(trained, held_out), held_out) < error(code_vectors(started, held_out), held_out)


@pytest.mark.parametrize(("until", "rounds"), [(0.0, 0), (0.5, 3), (1.0, 6)])
def test_replacement_stops_before_the_end(until: float, rounds: int) -> None:
    quantizer = ResidualVQ(8, 2, 16)
    train_on_vectors(quantizer, vectors(500, seed=1), Training(60, 64, 1e-2, 10, until, 0.1, 1), seed=3)
    assert int(quantizer.usage.rounds) == rounds


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(CodecError, match="nearest"):
        fit_baseline("nearest", vectors(10, seed=0), 2, 4, seed=0)  # type: ignore[arg-type]


def test_residual_codes_are_those_of_vector_quantize_pytorch() -> None:
    reason = "the cross-check of residual codes needs pip install vector-quantize-pytorch"
    theirs = pytest.importorskip("vector_quantize_pytorch", reason=reason)
    torch.manual_seed(0)
    ours = ResidualVQ(dim=16, num_codebooks=4, codebook_size=32)
    other = theirs.ResidualVQ(dim=16, num_quantizers=4, codebook_size=32).eval()
    with torch.no_grad():
        for layer, words in zip(other.layers, ours.words, strict=True):
            layer._codebook.embed.copy_(words.unsqueeze(0))
    x = torch.randn(512, 16)
    quantized, codes, _ = other(x.unsqueeze(0))
    found = ours.encode(x)
    # The other library takes square roots of distances, so words at nearly one distance may swap.
    assert (found == codes[0]).all(dim=1).float().mean() > 0.99
    same = (found == codes[0]).all(dim=1)
    torch.testing.assert_close(ours.decode(found)[same], quantized[0][same], atol=1e-5, rtol=1e-5)
