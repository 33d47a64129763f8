"""The training step: who gets which gradient, what a bad batch does, when the learning rate is what."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from codec.errors import CodecError, UsageError
from codec.training.adversarial import discriminator_loss, generator_loss
from codec.training.config import OptimizerConfig, QuantizationConfig, recipe_yaml
from codec.training.course import learning_rate_share
from codec.training.data import DataConfig
from codec.training.objective import Objective
from codec.training.state import averaged_model, read_state
from tests.training.tiny import ADVERSARIAL, tiny_fit, tiny_recipe, with_bottleneck

ROOT = Path(__file__).resolve().parents[2]


class Watch(lightning.Callback):
    """Calls `look(module, batch)` before each step, and keeps weights and metrics after it."""

    def __init__(self, look: Any = None) -> None:
        self.look = look or (lambda module, batch: None)
        self.codec: list[Tensor] = []
        self.discriminator: list[Tensor] = []
        self.metrics: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
        self.look(module, batch)

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.codec.append(_flat(module.model))
        if module.objective.discriminator is not None:
            self.discriminator.append(_flat(module.objective.discriminator))
        self.metrics.append({name: float(value) for name, value in module.metrics.items()})


def _flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def spoil(*steps: int) -> Any:
    def look(module: Any, batch: Any) -> None:
        if module.steps in steps:
            batch.target[0, 0] = float("nan")

    return look


@pytest.fixture
def objective() -> Objective:
    torch.manual_seed(0)
    recipe = tiny_recipe()
    return Objective(recipe.training, recipe.model.sample_rate)


@pytest.mark.parametrize("balancer", [False, True])
def test_the_gradient_of_the_losses_stops_at_the_decoded_signal(balancer: bool) -> None:
    torch.manual_seed(0)
    objective = Objective(tiny_recipe(balancer=balancer).training, 16_000)
    target, output = 0.1 * torch.randn(2, 2, 1600)
    output.requires_grad_()
    gradient = objective.gradient(objective(target, output, adversarial=True), output)
    assert gradient.shape == output.shape
    assert gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_without_a_balancer_the_gradient_is_that_of_the_weighted_sum(objective: Objective) -> None:
    target, output = 0.1 * torch.randn(2, 2, 1600)
    output.requires_grad_()
    losses = objective(target, output, adversarial=True)
    gradient = objective.gradient(losses, output)
    weights = {"waveform": 0.1, "mel": 1.0, "complex": 3.0, "adversarial": 1.0, "feature": 2.0}
    (expected,) = torch.autograd.grad(
        sum(weights[name] * loss for name, loss in objective(target, output, True).items()), output
    )
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-7)


def test_the_discriminator_sends_no_gradient_to_the_codec(objective: Objective) -> None:
    target, output = 0.1 * torch.randn(2, 2, 1600)
    output.requires_grad_()
    objective.discriminator_loss(target, output).backward()
    assert output.grad is None
    assert objective.discriminator is not None
    assert all(parameter.grad is not None for parameter in objective.discriminator.parameters())


@torch.no_grad()
def test_the_discriminator_judges_original_and_decoded_sound_by_themselves(objective: Objective) -> None:
    target, output = 0.1 * torch.randn(2, 2, 1600)
    assert objective.discriminator is not None
    expected = discriminator_loss(objective.discriminator(target), objective.discriminator(output))
    assert float(objective.discriminator_loss(target, output)) == pytest.approx(float(expected), rel=1e-5)
    # Its weights are normalized anew for each pass: none is kept from before a step of its optimizer.
    for parameter in objective.discriminator.parameters():
        parameter.mul_(1.5)
    changed = objective(target, output, adversarial=True)["adversarial"]
    expected = generator_loss(objective.discriminator(output))
    assert float(changed) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("balancer", [False, True])
def test_a_loss_that_is_not_finite_spoils_the_whole_gradient(balancer: bool) -> None:
    """Even where the balancer leaves it out: the step has to count as bad."""
    objective = Objective(tiny_recipe(balancer=balancer).training, 16_000)
    target, output = 0.1 * torch.randn(2, 2, 1600)
    target[0, 0] = float("nan")
    output.requires_grad_()
    assert objective.gradient(objective(target, output), output).isnan().all()


def test_the_discriminator_steps_when_it_is_its_turn(tmp_path: Path, clips: Path) -> None:
    watch = Watch()
    tiny_fit(tiny_recipe(max_steps=8), clips, tmp_path, callbacks=[watch])
    moved = [
        not torch.equal(*pair) for pair in zip(watch.discriminator, watch.discriminator[1:], strict=False)
    ]
    # It takes part from step 2 on, in every second step; entry i is what step i + 1 did.
    assert moved == [False, True, False, True, False, True, False]
    assert "loss/adversarial" not in watch.metrics[1]
    assert {"loss/adversarial", "loss/feature", "loss/discriminator"} <= watch.metrics[2].keys()


def test_without_a_discriminator_there_is_none(tmp_path: Path, clips: Path) -> None:
    module = tiny_fit(tiny_recipe(adversarial=False, max_steps=2), clips, tmp_path)
    assert module.objective.discriminator is None
    assert not any("discriminator" in name for name in module.state_dict())


@pytest.mark.parametrize("balancer", [False, True])
def test_a_bad_batch_changes_nothing_and_is_counted(tmp_path: Path, clips: Path, balancer: bool) -> None:
    watch = Watch(spoil(3, 4, 6))
    module = tiny_fit(tiny_recipe(balancer=balancer, max_steps=8), clips, tmp_path, callbacks=[watch])
    assert module.skipped == 3
    # Words may be replaced after a bad step, the k-means start comes before step 4: compare around step 6.
    assert torch.equal(watch.codec[5], watch.codec[6])
    assert torch.equal(watch.discriminator[5], watch.discriminator[6])
    assert not torch.equal(watch.codec[6], watch.codec[7])
    assert torch.isfinite(watch.codec[7]).all()


def test_three_bad_batches_in_a_row_end_the_training(tmp_path: Path, clips: Path) -> None:
    watch = Watch(spoil(1, 3, 4, 5))
    with pytest.raises(CodecError, match="3 steps in a row") as stopped:
        tiny_fit(tiny_recipe(), clips, tmp_path, callbacks=[watch])
    assert "\n" not in str(stopped.value)
    path = tmp_path / "bad_batch_0.pt"
    assert str(path) in str(stopped.value)
    saved = torch.load(path, weights_only=True)
    assert saved["step"] == 5
    assert saved["input"].shape == saved["target"].shape == (3, 1600)
    assert saved["target"].isnan().any()


def test_gradients_are_clipped(tmp_path: Path, clips: Path) -> None:
    """Plain gradient norms are about 1 here; clipped to a billionth they move nothing but AdamW's decay."""
    optimizer = OptimizerConfig(warmup_steps=0, clip_norm=1e-30, weight_decay=0.0)
    watch = Watch()
    tiny_fit(
        tiny_recipe(adversarial=False, max_steps=3, optimizer=optimizer), clips, tmp_path, callbacks=[watch]
    )
    assert watch.metrics[0]["train/gradient_norm"] > 0.01
    assert torch.allclose(watch.codec[0], watch.codec[2], atol=1e-12)


def test_replaced_words_lose_their_moments_and_their_past(tmp_path: Path, clips: Path) -> None:
    recipe = tiny_recipe(max_steps=9)
    looked = []

    def look(trainer: Any, module: Any, *_: Any) -> None:
        if module.steps != 9:
            return
        words = module.model.bottleneck.quantizer.words
        moments = module.optimizers()[0].state[words]
        average = module.ema.state_dict()["shadow"]["bottleneck.quantizer.words"]
        forgotten = (moments["exp_avg"] == 0).all(-1) & (moments["exp_avg_sq"] == 0).all(-1)
        assert torch.equal(average[forgotten], words[forgotten])
        looked.append(int(forgotten.sum()))
        looked.append(int(module.metrics["bottleneck/replaced"]))

    class AtTheEnd(lightning.Callback):
        on_train_batch_end = staticmethod(look)

    tiny_fit(recipe, clips, tmp_path, callbacks=[AtTheEnd()])
    assert looked[0] == looked[1] > 0


@pytest.mark.parametrize(("until", "rounds"), [(0.3, 0), (0.5, 1), (0.9, 3)])
def test_replacement_stops_before_the_end(tmp_path: Path, clips: Path, until: float, rounds: int) -> None:
    # Of 14 steps, words are looked over in 5, 8 and 11.
    quantization = dataclasses.replace(tiny_recipe().training.quantization, replace_until=until)
    module = tiny_fit(tiny_recipe(adversarial=False, quantization=quantization), clips, tmp_path)
    assert int(module.model.bottleneck.quantizer.usage.rounds) == rounds


@pytest.mark.parametrize("adversarial", [False, True])
def test_the_decoder_alone_learns_from_the_codes_that_are_sent(
    tmp_path: Path, clips: Path, adversarial: bool
) -> None:
    start = tiny_fit(tiny_recipe(adversarial=False), clips, tmp_path / "whole")
    recipe = tiny_recipe(adversarial, decoder_only=True, max_steps=6)
    recipe = with_bottleneck(recipe, dataclasses.replace(recipe.model.bottleneck, beam=4))
    watch = Watch()
    module = tiny_fit(
        recipe, clips, tmp_path / "run", init_from=tmp_path / "whole" / "last.ckpt", callbacks=[watch]
    )
    before = averaged_model(read_state(tmp_path / "whole" / "last.ckpt"), start.recipe.model).state_dict()
    after = averaged_model(read_state(tmp_path / "run" / "last.ckpt"), recipe.model).state_dict()
    changed = {name for name in before if "usage" not in name and not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("decoder_network.")}
    assert all(metrics["train/gradient_norm"] > 0 for metrics in watch.metrics)
    # No training pass of the bottleneck took place.
    assert module.model.bottleneck.usage.counts.sum() == 0
    assert not any("bottleneck/loss" in metrics for metrics in watch.metrics)

    # What it learns from is what a decoder gets: by the beam, with as many codebooks as were drawn.
    model, audio = module.model, torch.randn(2, 800)
    z = model.normalize(model.encoder(torch.nn.functional.pad(audio, (0, model.config.hop))))
    codes = model.bottleneck.encode(z, torch.tensor([[1], [3]]).expand(-1, z.shape[2]))
    sent = model.decoder(model.bottleneck.decode(codes))[:, model.delay : model.delay + 800]
    assert torch.equal(model.from_codes(audio, torch.tensor([1, 3])), sent)


def test_the_decoder_alone_needs_a_model_that_it_belongs_to(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(UsageError, match="--init-from"):
        tiny_fit(tiny_recipe(adversarial=False, decoder_only=True), clips, tmp_path)


def test_every_number_of_codebooks_is_drawn(tmp_path: Path, clips: Path) -> None:
    quantization = QuantizationConfig(warm_start_steps=0, kmeans_vectors=32, min_codebooks=2)
    watch = Watch()
    recipe = tiny_recipe(adversarial=False, quantization=quantization)
    tiny_fit(recipe, clips, tmp_path, callbacks=[watch])
    rates = {round(metrics["train/kbps"], 3) for metrics in watch.metrics}
    a_codebook = 3 * 200 / 1000  # 3 bits, 200 frames a second
    assert min(rates) >= 2 * a_codebook - 1e-3
    assert max(rates) <= 3 * a_codebook + 1e-3
    assert len(rates) > 2


def test_the_learning_rate_warms_up_and_decays() -> None:
    config = OptimizerConfig(warmup_steps=10, final_share=0.1)
    shares = [learning_rate_share(config, step, step / 100) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == pytest.approx(1.0)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == pytest.approx(0.1)


def test_the_learning_rate_is_held_until_the_decay_that_the_end_has() -> None:
    config = OptimizerConfig(warmup_steps=10, final_share=0.1, decay_share=0.25)
    shares = [learning_rate_share(config, step, step / 100) for step in range(101)]
    assert shares[10:76] == [pytest.approx(1.0)] * 66
    assert shares[75:] == sorted(shares[75:], reverse=True)
    assert shares[100] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("quantization", {"min_codebooks": 4, "kmeans_vectors": 32}),
        ("quantization", {"kmeans_vectors": 7}),
        ("quantization", {"warm_start_steps": -1, "kmeans_vectors": 32}),
        ("quantization", {"replace_every": 0, "kmeans_vectors": 32}),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(section: str, values: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match=r"must|codebooks"):
        tiny_recipe(**{section: QuantizationConfig(**values)})


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1])
def test_a_decay_longer_than_the_training_or_none_is_refused(share: float) -> None:
    with pytest.raises(CodecError, match="decay_share must lie"):
        OptimizerConfig(decay_share=share)


@pytest.mark.parametrize("values", [{"every": 0}, {"start_step": -1}, {"feature_weight": -1.0}])
def test_adversarial_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match="must"):
        dataclasses.replace(ADVERSARIAL, **values)


# Runs what follows as on a rented machine, which often has torch, lightning and soundfile and no network.
# Among the finders that stay is that of an editable install.
BARE = """
import sys
from importlib.machinery import PathFinder

BLOCKED = {"librosa", "safetensors", "typer", "rich", "tensorboard", "tensorboardX", "matplotlib", "scipy",
           "pandas", "pesq", "pystoi", "torchaudio"}

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else PathFinder.find_spec(name, path, target)

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
"""


def _run_bare(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", BARE + program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_module_imports_without_optional_packages() -> None:
    program = """
import codec.training.callbacks, codec.training.fit, codec.training.module, codec.training.state
try:
    import librosa
except ModuleNotFoundError:
    print("blocked:", sorted(BLOCKED & sys.modules.keys()))
"""
    assert _run_bare(program) == "blocked: []"


def test_a_training_needs_none_of_the_optional_packages(tmp_path: Path, clips: Path) -> None:
    program = """
from pathlib import Path
sys.path.insert(0, ".")
from tests.training.tiny import tiny_fit, tiny_recipe
clips, run = Path(sys.argv[1]), Path(sys.argv[2])
tiny_fit(tiny_recipe(), clips, run, valid=[clips])
print(tiny_fit(tiny_recipe(max_steps=15), clips, run, resume=True).steps)
"""
    assert _run_bare(program, str(clips), str(tmp_path / "run")) == "15"


def test_the_plain_command_needs_neither_typer_nor_rich(tmp_path: Path, clips: Path) -> None:
    program = """
from codec.training.__main__ import main
print(main(sys.argv[1:]))
"""
    config = tmp_path / "config.yaml"
    config.write_text(recipe_yaml(tiny_recipe(data=DataConfig(0.1, 3, on_device=True))))
    options = ["--data", str(clips), "--run", str(tmp_path / "run"), "--steps", "2", "--device", "cpu"]
    assert _run_bare(program, str(config), *options).splitlines()[-1] == "0"
