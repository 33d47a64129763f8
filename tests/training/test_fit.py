"""Starting, going on and starting from a trained model: what is refused, what is kept, what comes out."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from codec.checkpoint import load_model, save_model
from codec.config import BottleneckConfig, SeanetConfig
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.training import fit as fit_module
from codec.training.config import read_recipe
from codec.training.losses import ReconstructionLoss
from codec.training.module import CodecTraining
from codec.training.segments import SegmentDataset
from codec.training.state import STATE_NAME, averaged_model, read_state, recipe_of
from codec.training.validation import reconstruct
from tests.training.sounds import load
from tests.training.tiny import ADVERSARIAL, tiny_fit, tiny_recipe, with_bottleneck

ROOT = Path(__file__).resolve().parents[2]


class Snapshot(lightning.Callback):
    """Keeps the model before the first step and after it, and whether it quantized."""

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.discriminator: dict[str, Any] = {}
        self.quantizing = False

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.steps == 0:
            self.before = {name: value.clone() for name, value in module.model.state_dict().items()}
            if module.objective.discriminator is not None:
                weights = module.objective.discriminator.state_dict()
                self.discriminator = {name: value.clone() for name, value in weights.items()}

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.steps == 1:
            self.after = {name: value.clone() for name, value in module.model.state_dict().items()}
            self.quantizing = module.quantizing


def _model(state: dict[str, Any]) -> CodecModel:
    model = CodecModel(tiny_recipe().model)
    model.load_state_dict(state)
    return model


def _loss(model: CodecModel, clips: Path) -> float:
    """The weighted reconstruction loss of the quantized model on fixed segments."""
    loss = ReconstructionLoss(tiny_recipe().training.losses, model.config.sample_rate)
    target = SegmentDataset(load(clips), 1600, seed=3).batch(0, 8).target
    output = torch.stack([torch.from_numpy(reconstruct(model, audio.numpy(), 3)) for audio in target])
    return float(sum(loss.weights()[name] * value for name, value in loss(target, output).items()))


def _export(state: Path, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("export", ROOT / "tools" / "export_checkpoint.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.export(state, folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A finished training."""
    folder = tmp_path_factory.mktemp("run")
    tiny_fit(tiny_recipe(), clips, folder)
    return folder


def test_the_recipe_is_kept_with_the_run_and_in_the_state(run: Path) -> None:
    assert read_recipe(run / "config.yaml") == tiny_recipe()
    assert recipe_of(read_state(run / STATE_NAME), "state") == tiny_recipe()


@pytest.mark.parametrize("source", ["released", "state"])
def test_a_new_training_starts_at_the_loss_of_the_model_it_starts_from(
    tmp_path: Path, clips: Path, run: Path, source: str
) -> None:
    _export(run / STATE_NAME, tmp_path / "released")
    released = load_model(tmp_path / "released")
    start = tmp_path / "released" if source == "released" else run / STATE_NAME
    recipe = tiny_recipe()
    # The warm-up of a real training; that of the tiny one is two steps.
    optimizer = dataclasses.replace(recipe.training.optimizer, warmup_steps=200)
    snapshot = Snapshot()
    recipe = tiny_recipe(max_steps=2, optimizer=optimizer)
    tiny_fit(recipe, clips, tmp_path / "run", init_from=start, callbacks=[snapshot])
    assert snapshot.quantizing  # no warm start
    words = "bottleneck.quantizer.words"
    assert torch.allclose(snapshot.before[words], released.state_dict()[words], rtol=1e-3, atol=1e-3)
    expected = _loss(released, clips)
    for state in (snapshot.before, snapshot.after):
        assert _loss(_model(state), clips) == pytest.approx(expected, rel=0.02)
    untrained = _loss(CodecModel(recipe.model), clips)
    assert abs(untrained / expected - 1) > 0.1  # so the comparison can fail


def test_the_released_model_is_the_averaged_one_in_16_bits(tmp_path: Path, run: Path) -> None:
    _export(run / STATE_NAME, tmp_path)
    state = read_state(run / STATE_NAME)
    for name, value in load_model(tmp_path).named_parameters():
        assert torch.equal(value, state["ema"]["shadow"][name].half().float()), name
    averaged = averaged_model(state, tiny_recipe().model).state_dict()["bottleneck.quantizer.words"]
    assert not torch.equal(averaged, state["state_dict"]["model.bottleneck.quantizer.words"])


def test_seanet_trains_with_normalized_weights_and_is_released_with_plain_ones(
    tmp_path: Path, clips: Path
) -> None:
    network = SeanetConfig(filters=4, strides=(4, 4, 5), lstm_layers=1)
    recipe = tiny_recipe(adversarial=False, max_steps=6)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, network=network))
    module = tiny_fit(recipe, clips, tmp_path / "run")
    lengths = [name for name, _ in module.model.named_parameters() if name.endswith("original0")]
    assert lengths
    decayed = {id(p) for p in module.configure_optimizers()[0].param_groups[0]["params"]}
    assert not any(id(p) in decayed for name, p in module.model.named_parameters() if name in lengths)
    save_model(averaged_model(read_state(tmp_path / "run" / STATE_NAME), recipe.model), tmp_path / "released")
    released = load_model(tmp_path / "released")
    assert not any("parametrizations" in name for name, _ in released.named_parameters())
    audio = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), module.ema.swap(module.model):
        torch.testing.assert_close(released.encoder(audio), module.model.encoder(audio), atol=0.02, rtol=0.02)
    again = CodecTraining(recipe)
    again.start_from(released)
    with torch.no_grad():
        torch.testing.assert_close(again.model.encoder(audio), released.encoder(audio))


@pytest.mark.parametrize(
    ("of_a_state", "discriminator", "comes_along"),
    [
        (True, ADVERSARIAL.discriminator, True),
        (False, ADVERSARIAL.discriminator, False),  # a release has none
        (True, dataclasses.replace(ADVERSARIAL.discriminator, stft_channels=5), False),
    ],
)
def test_the_discriminator_of_a_state_comes_along_where_it_fits(
    tmp_path: Path, clips: Path, run: Path, of_a_state: bool, discriminator: Any, comes_along: bool
) -> None:
    _export(run / STATE_NAME, tmp_path / "released")
    source = run / STATE_NAME if of_a_state else tmp_path / "released"
    adversarial = dataclasses.replace(ADVERSARIAL, discriminator=discriminator)
    snapshot = Snapshot()
    recipe = tiny_recipe(max_steps=1)
    recipe = dataclasses.replace(
        recipe, training=dataclasses.replace(recipe.training, adversarial=adversarial)
    )
    tiny_fit(recipe, clips, tmp_path / "run", init_from=source, callbacks=[snapshot])
    state = read_state(run / STATE_NAME)["state_dict"]
    alike = [
        torch.equal(value, state[f"objective.discriminator.{name}"])
        for name, value in snapshot.discriminator.items()
        if value.dim() > 1
    ]
    assert alike == [comes_along] * len(alike) != []


def test_a_model_of_another_shape_cannot_start_a_training(tmp_path: Path, clips: Path, run: Path) -> None:
    recipe = with_bottleneck(tiny_recipe(), BottleneckConfig(num_codebooks=2, codebook_size=8))
    with pytest.raises(CodecError, match="bottleneck"):
        tiny_fit(recipe, clips, tmp_path, init_from=run / STATE_NAME)


def test_the_name_of_the_model_may_change(tmp_path: Path, clips: Path, run: Path) -> None:
    recipe = tiny_recipe(max_steps=1)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, name="tiny_2"))
    assert tiny_fit(recipe, clips, tmp_path, init_from=run / STATE_NAME).quantizing


def test_codebooks_can_go_on_by_another_estimator(tmp_path: Path, clips: Path, run: Path) -> None:
    snapshot = Snapshot()
    recipe = with_bottleneck(
        tiny_recipe(max_steps=1), BottleneckConfig(num_codebooks=3, codebook_size=8, estimator="ema")
    )
    tiny_fit(recipe, clips, tmp_path, init_from=run / STATE_NAME, callbacks=[snapshot])
    words = averaged_model(read_state(run / STATE_NAME), tiny_recipe().model).bottleneck.quantizer.words
    moved = snapshot.after["bottleneck.quantizer.words"] - words
    # One batch moves a moving average of 0.99 a little; forgotten averages would move the words far.
    assert 0 < moved.norm() < 0.1 * words.norm()


def test_a_finished_training_can_be_made_longer(tmp_path: Path, clips: Path) -> None:
    tiny_fit(tiny_recipe(max_steps=3), clips, tmp_path)
    assert tiny_fit(tiny_recipe(max_steps=5), clips, tmp_path, resume=True).steps == 5
    assert read_recipe(tmp_path / "config.yaml").training.max_steps == 5


def test_what_a_run_folder_does_not_allow_is_refused(tmp_path: Path, clips: Path, run: Path) -> None:
    before = (run / "config.yaml").read_text()
    with pytest.raises(UsageError, match="--resume"):
        tiny_fit(tiny_recipe(max_steps=99), clips, run)
    with pytest.raises(UsageError, match="--steps"):
        tiny_fit(tiny_recipe(), clips, run, resume=True)
    with pytest.raises(UsageError, match="without --resume"):
        tiny_fit(tiny_recipe(), clips, tmp_path / "nothing", resume=True)
    other = dataclasses.replace(tiny_recipe(), model=dataclasses.replace(tiny_recipe().model, dim=4))
    with pytest.raises(UsageError, match="another model"):
        tiny_fit(other, clips, run, resume=True)
    smaller = dataclasses.replace(ADVERSARIAL.discriminator, stft_channels=4)
    smaller = dataclasses.replace(tiny_recipe().training.adversarial, discriminator=smaller)
    for training, named in (
        ({"adversarial": None}, "another discriminator"),
        ({"adversarial": smaller}, "another discriminator"),
        ({"balancer": True}, "another balancer"),
    ):
        other = dataclasses.replace(tiny_recipe().training, max_steps=99, **training)
        with pytest.raises(UsageError, match=named):
            tiny_fit(dataclasses.replace(tiny_recipe(), training=other), clips, run, resume=True)
    assert (run / "config.yaml").read_text() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(CodecError, match="file"):
        tiny_fit(tiny_recipe(), clips, tmp_path / "file" / "run")


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04" + bytes(100)])
def test_a_damaged_state_is_one_sentence(tmp_path: Path, clips: Path, content: bytes) -> None:
    (tmp_path / STATE_NAME).write_bytes(content)
    with pytest.raises(CodecError, match=r"last\.ckpt"):
        tiny_fit(tiny_recipe(), clips, tmp_path, resume=True)


def test_a_state_that_holds_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "ema": Snapshot()}, tmp_path / STATE_NAME)
    with pytest.raises(CodecError, match="damaged or no training state"):
        read_state(tmp_path / STATE_NAME)


def test_other_torch_files_are_no_states(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / STATE_NAME)
    with pytest.raises(CodecError, match="no training state"):
        read_state(tmp_path / STATE_NAME)


def test_data_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="nowhere"):
        tiny_fit(tiny_recipe(), tmp_path / "nowhere", tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what is asked for")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(UsageError, match="CUDA"):
        fit_module.fit(tiny_recipe(), [clips], tmp_path, device="cuda")


def test_without_tensorboard_the_log_is_a_table(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "find_spec", lambda name: None)
    tiny_fit(tiny_recipe(max_steps=10), clips, tmp_path, valid=[clips])
    tiny_fit(tiny_recipe(max_steps=11), clips, tmp_path, resume=True)
    with (tmp_path / "metrics" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row["validation/si_sdr_at_03"] for row in rows)
    assert any(row["perplexity/codebook_01"] for row in rows)
