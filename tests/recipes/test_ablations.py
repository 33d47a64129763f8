"""The table of ablations: what its rows are, what its candidates do, what is measured and kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import lightning
import pytest
import torch
import yaml

from codec.errors import CodecError
from codec.model import CodecModel
from codec.quantize import ResidualVQ
from codec.training.config import recipe_yaml
from codec.training.state import averaged_model, read_state
from codec.training.validation import reconstruct
from recipes.speech_16k import ablate
from recipes.speech_16k.candidates import FactorizedVQ, Predicting, build_of
from tests.training.sounds import write_folder
from tests.training.tiny import MODEL, tiny_fit, tiny_recipe

TEACHER = CodecModel(dataclasses.replace(MODEL, network=dataclasses.replace(MODEL.network, width=24)))
CANDIDATES = (
    "unnormalized",
    "committing",
    "unnormalized, committing",
    "factorized",
    "predicting",
    "centred",
    "distilled",
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("clips"), (40_000, 24_000))


def test_each_row_of_the_shipped_plan_has_a_recipe_that_can_be_read() -> None:
    plan = ablate.read_plan(ablate.HERE / "ablations.yaml")
    assert sum(len(base.rows) for base in plan.bases.values()) >= 25
    for base in plan.bases.values():
        whole = ablate.recipe_of_row(base, "as it is", 0, ablate.HERE)
        assert whole.training.max_steps == 1500
        again = ablate.recipe_of_row(base, "as it is", 1, ablate.HERE)
        assert again.training.seed == whole.training.seed + 1
        assert dataclasses.replace(again.training, seed=whole.training.seed) == whole.training
        for name, row in base.rows.items():
            # All of the base is there, but what the row names; what is measured lies below all codebooks.
            recipe = ablate.recipe_of_row(base, name, 0, ablate.HERE)
            assert (recipe != whole) == bool(row.set), name
            assert recipe.training.max_steps == 1500
            most = max(row.num_codebooks or plan.num_codebooks)
            assert most <= recipe.model.bottleneck.num_codebooks
            if row.candidate is not None:
                build_of(row.candidate, TEACHER if row.teacher else None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set": {"training.max_stepz": 3}}, "max_stepz"),
        ({"set": {"training.seed": "one"}}, "seed"),
        ({"set": {"training.adversarial.every": 2}}, "adversarial"),
        ({"teacher": "nobody", "candidate": "distilled"}, "teacher"),
        ({"sets": {}}, "sets"),
    ],
)
def test_a_wrong_row_is_one_sentence(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        ablate.read_plan(_plan(tmp_path, {"as it is": {}, "wrong": change}))


def test_an_unknown_candidate_is_one_sentence() -> None:
    with pytest.raises(CodecError, match="known are"):
        build_of("distilled")


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_trains_and_can_be_heard(tmp_path: Path, clips: Path, name: str) -> None:
    build = build_of(name, TEACHER)
    recipe = tiny_recipe(adversarial=False)
    module = tiny_fit(recipe, clips, tmp_path, build=build)
    assert module.quantizing
    assert module.skipped == 0
    lightning.seed_everything(recipe.training.seed, verbose=False)
    before = dict(build(recipe.model).named_parameters())
    model = averaged_model(read_state(tmp_path / "last.ckpt"), recipe.model, build).eval()
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    sound = reconstruct(model, torch.randn(1600).numpy() * 0.1, 2)
    assert len(sound) == 1600


def test_the_commitment_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    model = build_of("committing")(MODEL)
    z = torch.randn(2, MODEL.dim, 5)
    quantized = model.bottleneck(z, torch.tensor([1, 3]))
    error = z - model.bottleneck.decode(quantized.codes)
    assert quantized.loss.item() == pytest.approx(0.25 * error.square().mean().item())


def test_factorized_codes_decode_to_what_training_let_through() -> None:
    torch.manual_seed(0)
    quantizer = FactorizedVQ(12, 3, 16)
    x = torch.randn(40, 12)
    quantizer.fit_kmeans(x)
    counts = torch.randint(0, 4, (40,))
    found = quantizer(x, counts)
    assert torch.equal(found.codes, quantizer.encode(x, counts))
    torch.testing.assert_close(found.z_q, quantizer.decode(found.codes), rtol=0, atol=1e-5)
    found.loss.backward()
    assert quantizer.words.grad.abs().sum() > 0
    assert quantizer.down.grad.abs().sum() > 0


def test_predicted_latents_decode_to_what_training_let_through_and_start_anew() -> None:
    torch.manual_seed(0)
    bottleneck = Predicting(ResidualVQ(6, 2, 16, estimator="diveq"))
    torch.nn.init.normal_(bottleneck.predict.weight, std=0.3)
    z = torch.randn(2, 6, 120)
    bottleneck.fit_kmeans(z)
    codes = bottleneck.encode(z)
    given = bottleneck.decode(codes)
    trained = bottleneck(z[..., :100])
    assert torch.equal(trained.codes, codes[..., :100])
    torch.testing.assert_close(trained.z_q, given[..., :100], rtol=0, atol=0.02)
    # The second block is coded and decoded as if the first had not been.
    assert torch.equal(bottleneck.encode(z[..., 100:]), codes[..., 100:])
    torch.testing.assert_close(bottleneck.decode(codes[..., 100:]), given[..., 100:])
    assert not torch.equal(bottleneck.encode(z[..., 50:]), codes[..., 50:])


def test_a_centred_network_looks_ahead_and_the_codec_does_not() -> None:
    torch.manual_seed(0)
    z = torch.randn(1, MODEL.dim, 20)
    later = z.clone()
    later[..., 12] += 1.0
    hop = MODEL.hop
    for model, ahead in ((CodecModel(MODEL), False), (build_of("centred")(MODEL), True)):
        with torch.no_grad():
            changed = (model.decoder(z) != model.decoder(later)).view(-1, hop).any(dim=1)
        assert changed[12]
        assert changed[:12].any() == ahead


def test_a_distilled_model_learns_what_its_teacher_says() -> None:
    torch.manual_seed(0)
    model = build_of("distilled", TEACHER)(MODEL)
    assert not any("teacher" in name for name in model.state_dict())
    audio = torch.randn(2, 800)
    losses = []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        _, quantized = model(audio, None)
        losses.append(quantized.loss.item())
        optimizer.zero_grad()
        quantized.loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    assert all(weight.grad is None for weight in TEACHER.parameters())


def test_rows_are_trained_measured_and_kept(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {
        "as it is": {"seeds": 2},
        "teacher": {"candidate": "centred"},
        "distilled": {"candidate": "distilled", "teacher": "teacher", "num_codebooks": [1, 3]},
    }
    plan = ablate.read_plan(_plan(tmp_path, rows))
    monkeypatch.setattr(ablate, "HERE", tmp_path)
    sources = {"data": [str(clips)], "noise": [], "valid": [str(clips)]}
    run = tmp_path / "runs"
    for name, row in plan.bases["one"].rows.items():
        for seed in range(row.seeds):
            ablate.train_row(plan, "one", name, seed, run, sources)
    result = json.loads((ablate.folder_of(run, "one", "distilled", 0) / "result.json").read_text())
    assert list(result["scores"]) == ["1", "3"]
    assert [len(each["stoi"]) for each in result["scores"].values()] == [2, 2]
    text = ablate.base_table(plan, "one", run).splitlines()
    assert len(text) == 2 + 3
    assert text[2].startswith("| as it is |")
    assert text[2].count(" / ") == 2
    # What is there is not trained again.
    before = (ablate.folder_of(run, "one", "teacher", 0) / "last.ckpt").stat().st_mtime_ns
    ablate.train_row(plan, "one", "teacher", 0, run, {"data": [], "noise": [], "valid": []})
    assert (ablate.folder_of(run, "one", "teacher", 0) / "last.ckpt").stat().st_mtime_ns == before


def _plan(folder: Path, rows: dict[str, object]) -> Path:
    """A plan beside a tiny recipe."""
    (folder / "tiny.yaml").write_text(recipe_yaml(tiny_recipe(adversarial=False)))
    base = {"recipe": "tiny.yaml", "set": {"training.max_steps": 6}, "rows": rows}
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"num_codebooks": [1, 2], "chosen_on": 1, "bases": {"one": base}}))
    return path
