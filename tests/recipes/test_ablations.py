"""The table of ablations: what its rows are, what its candidates do, what is measured and kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import lightning
import pytest
import torch
import typer
import yaml

from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.quantize import ResidualVQ
from codec.training.config import recipe_yaml
from codec.training.state import averaged_model, read_state
from codec.training.validation import reconstruct
from recipes.speech_16k import ablate
from recipes.speech_16k.candidates import (
    CANDIDATES,
    DISTILLED,
    FactorizedVQ,
    Predicting,
    distilled_from,
)
from tests.training.sounds import write_folder
from tests.training.tiny import MODEL, tiny_fit, tiny_recipe

TEACHER = CodecModel(dataclasses.replace(MODEL, network=dataclasses.replace(MODEL.network, width=24)))
BUILDS = {**CANDIDATES, DISTILLED: distilled_from(TEACHER)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("clips"), (40_000, 24_000))


def test_each_row_of_the_shipped_plan_has_a_recipe_that_can_be_read() -> None:
    plan = ablate.read_plan(ablate.HERE / "ablations.yaml")
    assert sum(len(base.rows) for base in plan.bases.values()) >= 25
    docs = ablate.README.read_text(encoding="utf-8")
    for base_name, base in plan.bases.items():
        assert f"<!-- ablations {base_name} -->" in docs
        whole = ablate.recipe_of_row(plan, base, "as it is")
        again = ablate.recipe_of_row(plan, base, "as it is", 1)
        assert again.training.seed == whole.training.seed + 1
        assert dataclasses.replace(again.training, seed=whole.training.seed) == whole.training
        for name, row in base.rows.items():
            # All of the base is there, but what the row names.
            recipe = ablate.recipe_of_row(plan, base, name)
            assert (recipe != whole) == bool(row.set), name
            assert recipe.training.max_steps == 1500
            assert recipe.training.precision != "auto"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set": {"training.max_stepz": 3}}, "max_stepz"),
        ({"set": {"training.seed": "one"}}, "seed"),
        ({"set": {"training.adversarial.every": 2}}, "adversarial"),
        ({"teacher": "nobody", "candidate": "distilled"}, "teacher"),
        ({"candidate": "distilled"}, "teacher"),
        ({"teacher": "as it is"}, "teacher"),
        ({"candidate": "nobody"}, "known are"),
        ({"num_codebooks": [1, 4]}, "num_codebooks"),
        ({"num_codebooks": [1]}, "num_codebooks"),
        ({"sets": {}}, "sets"),
    ],
)
def test_a_wrong_row_is_one_sentence(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(CodecError, match=message):
        ablate.read_plan(_plan(tmp_path, {"as it is": {}, "wrong": change}))


def test_a_base_without_rows_is_one_sentence(tmp_path: Path) -> None:
    path = _plan(tmp_path, {})
    path.write_text(path.read_text().replace("rows: {}", ""))
    with pytest.raises(CodecError, match="'rows' is missing"):
        ablate.read_plan(path)


def test_what_a_row_sets_stays_its_own(tmp_path: Path) -> None:
    network = {"kind": "spectral", "width": 16, "blocks": 1, "kernel": 3, "overlap": 80}
    rows = {"narrow": {"set": {"model.network.width": 8}}, "as it is": {}}
    plan = ablate.read_plan(_plan(tmp_path, rows, {"model.network": network}))
    widths = [ablate.recipe_of_row(plan, plan.bases["one"], name).model.network.width for name in rows]
    assert widths == [8, 16]


@pytest.mark.parametrize("name", BUILDS)
def test_a_candidate_trains_and_can_be_heard(tmp_path: Path, clips: Path, name: str) -> None:
    build, recipe = BUILDS[name], tiny_recipe(adversarial=False)
    module = tiny_fit(recipe, clips, tmp_path, build=build)
    assert module.quantizing
    assert module.skipped == 0
    lightning.seed_everything(recipe.training.seed, verbose=False)
    before = build(recipe.model)
    after = averaged_model(read_state(tmp_path / "last.ckpt"), recipe.model, build).eval()
    assert [type(part) for part in after.modules()] == [type(part) for part in before.modules()]
    weights = dict(after.named_parameters())
    assert [key for key, value in before.named_parameters() if torch.equal(value, weights[key])] == []
    sound = reconstruct(after, torch.randn(1600).numpy() * 0.1, 2)
    assert len(sound) == 1600


def test_the_commitment_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    model = CANDIDATES["committing"](MODEL)
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


def test_every_stage_of_factorized_codes_takes_energy_away_from_the_start_on() -> None:
    torch.manual_seed(0)
    quantizer = FactorizedVQ(128, 20, 64)
    x = torch.nn.functional.layer_norm(torch.randn(500, 128), (128,))
    quantizer.fit_kmeans(x)
    errors = [quantizer(x, torch.full((500,), n)).stats["latent_error"].item() for n in (1, 6, 12, 20)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 1.0


def test_predicted_latents_decode_to_what_training_let_through_and_start_anew() -> None:
    torch.manual_seed(0)
    bottleneck = Predicting(ResidualVQ(6, 2, 16, estimator="diveq"))
    torch.nn.init.normal_(bottleneck.predict.weight, std=0.3)
    z = torch.randn(2, 6, 70)
    bottleneck.fit_kmeans(z)
    codes = bottleneck.encode(z)
    given = bottleneck.decode(codes)
    trained = bottleneck(z[..., :50])
    assert torch.equal(trained.codes, codes[..., :50])
    torch.testing.assert_close(trained.z_q, given[..., :50], rtol=0, atol=0.02)
    # The second block is coded and decoded as if the first had not been.
    assert torch.equal(bottleneck.encode(z[..., 50:]), codes[..., 50:])
    torch.testing.assert_close(bottleneck.decode(codes[..., 50:]), given[..., 50:])
    assert not torch.equal(bottleneck.encode(z[..., 30:]), codes[..., 30:])


def test_a_centred_network_looks_ahead_and_the_codec_does_not() -> None:
    torch.manual_seed(0)
    z = torch.randn(1, MODEL.dim, 20)
    later = z.clone()
    later[..., 12] += 1.0
    hop = MODEL.hop
    for model, ahead in ((CodecModel(MODEL), False), (CANDIDATES["centred"](MODEL), True)):
        with torch.no_grad():
            changed = (model.decoder(z) != model.decoder(later)).view(-1, hop).any(dim=1)
        assert changed[12]
        assert changed[:12].any() == ahead


def test_a_distilled_model_learns_what_its_teacher_says() -> None:
    torch.manual_seed(0)
    model = distilled_from(TEACHER)(MODEL)
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
    tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {
        "as it is": {"seeds": 2},
        "teacher": {"candidate": "centred"},
        "distilled": {"candidate": "distilled", "teacher": "teacher", "num_codebooks": [1, 3]},
    }
    plan = ablate.read_plan(_plan(tmp_path, rows))
    sources = {"data": [str(clips)], "noise": [], "valid": [str(clips)]}
    run = tmp_path / "runs"
    with pytest.raises(UsageError, match="'teacher' is not trained yet"):
        ablate.train_row(plan, "one", "distilled", 0, run, sources)
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
    # What is trained elsewhere keeps its line, in its place.
    elsewhere = "\n".join(
        [*text[:2], text[3].replace("teacher", "as it is"), text[4].replace("distilled", "gone")]
    )
    other_run = tmp_path / "other"
    folder = ablate.folder_of(other_run, "one", "teacher", 0)
    shutil.copytree(ablate.folder_of(run, "one", "teacher", 0), folder)
    assert ablate.base_table(plan, "one", other_run, elsewhere).splitlines() == [
        *text[:2],
        text[3].replace("teacher", "as it is"),
        text[3],
    ]
    # So does a seed: only the second one is here, and takes its place beside the first.
    one_seed = "\n".join([*text[:2], "| as it is | 1.000 | 2.000 | 9.99 ± 0.01 | 9.99 ± 0.01 | 0.500 | 7 |"])
    shutil.copytree(
        ablate.folder_of(run, "one", "as it is", 1), ablate.folder_of(other_run, "one", "as it is", 1)
    )
    second = [cell.split(" / ")[1].split(" |")[0] for cell in text[2].split(" | ")[1:3]]
    assert ablate.base_table(plan, "one", other_run, one_seed).splitlines()[2] == (
        f"| as it is | 1.000 / {second[0]} | 2.000 / {second[1]} | 9.99 ± 0.01 | 9.99 ± 0.01 | 0.500 | 7 |"
    )
    # What is there is not trained again, and never taken for another row.
    state = ablate.folder_of(run, "one", "teacher", 0) / "last.ckpt"
    before = state.stat().st_mtime_ns
    nothing = {"data": [], "noise": [], "valid": []}
    ablate.train_row(plan, "one", "teacher", 0, run, nothing)
    assert state.stat().st_mtime_ns == before
    other = ablate.read_plan(_plan(tmp_path, {"teacher": {"set": {"training.ema_decay": 0.5}}}))
    with pytest.raises(UsageError, match="another row"):
        ablate.train_row(other, "one", "teacher", 0, run, nothing)
    assert "| teacher |" not in ablate.base_table(other, "one", run)
    assert "trained as another row" in capsys.readouterr().err
    (state.parent / "result.json").unlink()
    with pytest.raises(UsageError, match="another recipe"):
        ablate.train_row(other, "one", "teacher", 0, run, nothing)


def test_a_row_that_fails_does_not_end_the_others_and_an_unknown_one_is_named(
    tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"bad": {"set": {"training.decoder_only": True}}, "good": {}}
    options = ["--plan", str(_plan(tmp_path, rows)), "--run", str(tmp_path / "runs")]
    options += ["--data", str(clips), "--valid", str(clips)]
    _command([*options, "--only", "good", "--only", "bad"])
    told = capsys.readouterr()
    assert "one, bad: decoder_only needs a trained model" in told.err
    assert "| good |" in told.out
    assert "| bad |" not in told.out
    assert _command([*options, "--only", "nobody"]) == 2
    assert "no base and no row is called nobody" in capsys.readouterr().err


def _command(options: list[str]) -> int:
    """The exit code of ablate.py with these options."""
    application = typer.Typer()
    application.command()(ablate.main)
    try:
        application(options, standalone_mode=False)
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _plan(folder: Path, rows: dict[str, object], settings: dict[str, object] | None = None) -> Path:
    """A plan beside a tiny recipe."""
    (folder / "tiny.yaml").write_text(recipe_yaml(tiny_recipe(adversarial=False)))
    shared = {"training.max_steps": 6, **(settings or {})}
    base = {"recipe": "tiny.yaml", "set": shared, "rows": rows}
    path = folder / "plan.yaml"
    whole = {"num_codebooks": [1, 2], "chosen_on": 1, "bases": {"one": base}}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path
