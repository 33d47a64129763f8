"""The speech codec with other bottlenecks: their configurations, and the comparison of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.config import from_mapping, to_mapping
from codec.errors import CodecError
from codec.training.config import Recipe, read_recipe
from recipes.speech_16k import compare
from tests.training.sounds import write_folder
from tests.training.tiny import tiny_recipe

HERE = Path(compare.__file__).parent


@pytest.mark.parametrize("kind", ["residual", "additive", "product"])
def test_one_line_changes_the_bottleneck(kind: str) -> None:
    base = to_mapping(read_recipe(HERE / "config.yaml"))
    bottleneck = base["model"]["bottleneck"] | {"kind": kind, "num_codebooks": 16}
    mapping = base | {"model": base["model"] | {"bottleneck": bottleneck}}
    assert from_mapping(Recipe, mapping, kind).model.bottleneck.kind == kind


def test_the_shipped_configurations_differ_in_their_bottleneck_alone() -> None:
    models = [to_mapping(read_recipe(HERE / f"{name}.yaml").model) for name in ("additive", "product")]
    assert [model["bottleneck"]["kind"] for model in models] == ["additive", "product"]
    assert all(model["bottleneck"]["num_codebooks"] * 8 * 50 == 6400 for model in models)
    shared = to_mapping(read_recipe(HERE / "config.yaml").model)
    for model in models:
        for key in ("name", "bottleneck"):
            del model[key]
    assert models == [{key: value for key, value in shared.items() if key not in ("name", "bottleneck")}] * 2


def test_the_compared_recipes_differ_in_their_bottleneck_alone() -> None:
    recipes, counts = compare.read_comparison(HERE / "compare.yaml", read_recipe(HERE / "config.yaml"))
    kinds = [(each.model.bottleneck.kind, each.model.bottleneck.estimator) for each in recipes.values()]
    assert kinds == [
        ("residual", "nsvq"),
        ("residual", "ste"),
        ("residual", "ema"),
        ("additive", "nsvq"),
        ("product", "nsvq"),
    ]
    assert len({repr(each.training) for each in recipes.values()}) == 1
    assert next(iter(recipes.values())).training.max_steps >= 1500
    assert counts == [4, 8, 16]


def test_a_wrong_key_is_one_sentence(tmp_path: Path) -> None:
    plan = tmp_path / "compare.yaml"
    plan.write_text("steps: 5\n")
    with pytest.raises(
        CodecError, match="must have the keys steps, warm_start_steps, num_codebooks, bottlenecks"
    ):
        compare.read_comparison(plan, tiny_recipe())


def test_a_row_is_trained_once_and_tabulated(tmp_path: Path) -> None:
    clips = write_folder(tmp_path / "clips", (40_000, 24_000))
    sources = {"data": [str(clips)], "noise": [], "valid": [str(clips)]}
    recipe = tiny_recipe(adversarial=False)
    measured = compare.row(recipe, tmp_path / "run", sources, [1, 3])
    assert [each["kbps"] for each in measured] == [0.6, 1.8]
    assert measured[0]["latent_error"] > measured[1]["latent_error"] > 0
    assert compare.row(recipe, tmp_path / "run", {}, [1, 3]) == measured
    lines = compare.comparison_table({"tiny": measured}).splitlines()
    assert (
        lines[0] == "| bottleneck, estimator | 0.6 kbit/s | 1.8 kbit/s | latent error | search, µs a frame |"
    )
    assert lines[2].startswith(f"| tiny | {measured[0]['pesq_wb']:.2f} ± ")
