"""Every kind of bottleneck in a model: one line of its configuration, and all else works as before."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.api import Codec
from codec.checkpoint import load_model, model_id, save_model
from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.engine import Engine, RowPlan
from codec.model import CodecModel
from codec.streaming import StreamDecoder, StreamEncoder
from codec.training.config import Recipe
from codec.training.state import STATE_NAME, averaged_model, read_state
from tests.small_model import SMALL, small_model
from tests.training.sounds import write_folder
from tests.training.tiny import tiny_fit, tiny_recipe

AnyConfig = BottleneckConfig | AdditiveConfig | ProductConfig

SIZES = {"num_codebooks": 4, "codebook_size": 16}
KINDS: dict[str, AnyConfig] = {
    "residual": BottleneckConfig(**SIZES),
    "residual beam": BottleneckConfig(**SIZES, beam=4),
    "additive": AdditiveConfig(**SIZES, beam=4),
    "additive polished": AdditiveConfig(**SIZES, beam=2, polish=2),
    "product": ProductConfig(**SIZES),
    "product rotated": ProductConfig(**SIZES, rotation=True),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def config(request: pytest.FixtureRequest) -> AnyConfig:
    return request.param  # type: ignore[no-any-return]


def _model(config: AnyConfig) -> CodecModel:
    return small_model(config=dataclasses.replace(SMALL, bottleneck=config))


def _noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


def test_any_cutting_and_any_row_count_give_the_same_bits(config: AnyConfig) -> None:
    model = _model(config)
    pcm = _noise(9_000)
    whole = []
    for cuts in ([], range(100, 9_000, 700)):
        encoder = StreamEncoder(model, 16_000, 1, num_codebooks=3, packet_ms=100)
        pieces = [piece for part in np.split(pcm[:, None], cuts) for piece in encoder.push(part)]
        whole.append(b"".join(pieces + encoder.flush()))
    assert whole[0] == whole[1]
    sounds = []
    for edges in ([0, len(whole[0])], range(0, len(whole[0]) + 50, 50)):
        decoder = StreamDecoder(model)
        parts = [decoder.push(whole[0][a:b]) for a, b in itertools.pairwise(edges)]
        sounds.append(np.concatenate([*(part for part in parts if len(part)), decoder.flush()]))
    assert len(sounds[0]) == 9_000
    assert np.array_equal(sounds[0], sounds[1])


def test_frames_of_many_rates_are_searched_alike_in_every_block(config: AnyConfig) -> None:
    model = _model(config)
    engine = Engine(model)
    frames = 150
    z = model.normalize(torch.randn(1, SMALL.dim, frames, generator=torch.Generator().manual_seed(0)))[0]
    n = torch.arange(frames) % 5
    whole = engine._search(z, n, RowPlan((64, 8), alone=False))
    assert torch.equal((whole >= 0).sum(dim=0), n)
    assert torch.equal(engine._search(z, n, RowPlan((8,), alone=False)), whole)
    assert torch.equal(engine._search(z, n, RowPlan((8,), alone=True)), whole)


def test_a_release_decodes_as_the_model_did(config: AnyConfig, tmp_path: Path) -> None:
    model = _model(config)
    save_model(model, tmp_path / "first")
    first = load_model(tmp_path / "first")
    save_model(first, tmp_path / "second")
    second = load_model(tmp_path / "second")
    assert model_id(model) == model_id(first) == model_id(second)
    codes = torch.randint(-1, 16, (1, 4, 30), generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.bottleneck.decode(codes), second.bottleneck.decode(codes))
    exact = model.bottleneck.decode(codes)
    torch.testing.assert_close(first.bottleneck.decode(codes), exact, atol=0.01, rtol=0)
    pcm = _noise(3_000)
    data = Codec(first).encode(pcm, 16_000, num_codebooks=2)
    assert np.array_equal(Codec(second).decode(data)[0], Codec(first).decode(data)[0])


def test_the_kinds_have_different_ids() -> None:
    plain = [_model(KINDS[name]) for name in ("residual", "additive")]
    plain[1].load_state_dict(plain[0].state_dict())
    assert model_id(plain[0]) != model_id(plain[1])
    beam = _model(KINDS["residual beam"])
    beam.load_state_dict(plain[0].state_dict())
    assert model_id(beam) == model_id(plain[0])


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("sounds"))


@pytest.mark.parametrize(
    "config",
    [
        AdditiveConfig(num_codebooks=3, codebook_size=8),
        ProductConfig(num_codebooks=4, codebook_size=8, rotation=True),
        BottleneckConfig(num_codebooks=3, codebook_size=8, estimator="ema", replacement="split"),
        BottleneckConfig(num_codebooks=3, codebook_size=8, estimator="ste"),
    ],
    ids=["additive", "product", "ema", "ste"],
)
def test_it_trains_and_is_exported(config: AnyConfig, sounds: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(adversarial=False)
    recipe = Recipe(dataclasses.replace(recipe.model, bottleneck=config), recipe.training)
    module = tiny_fit(recipe, sounds, tmp_path)
    assert module.quantizing
    assert module.skipped == 0
    exported = averaged_model(read_state(tmp_path / STATE_NAME), recipe.model)
    with module.ema.swap(module.model):
        codes = torch.randint(-1, 8, (1, config.num_codebooks, 20))
        expected = module.model.bottleneck.decode(codes)
        assert torch.equal(exported.bottleneck.decode(codes), expected)
