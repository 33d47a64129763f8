"""An interrupted training ends in the same bits as one that went through, whatever happened in between."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.errors import UsageError
from codec.training.config import FrameLossConfig
from codec.training.saving import TrainingStopped
from codec.training.state import STATE_NAME, averaged_model, read_state
from tests.training.tiny import tiny_fit, tiny_recipe, with_bottleneck

# Lightning's own counts and clocks play no part in what is trained.
TRAINED = ("state_dict", "optimizer_states", "ema", "progress", "bf16", "AudioDataModule")


class SignalAfter(lightning.Callback):
    """Sends this process a signal in the middle of a step, as Ctrl-C does."""

    def __init__(self, steps: int, number: int = signal.SIGINT) -> None:
        self.steps = steps
        self.number = number

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.steps == self.steps - 1:
            os.kill(os.getpid(), self.number)


class Replacements(lightning.Callback):
    """Counts replaced words."""

    count = 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.quantizing and module.steps % 3 == 0:
            self.count += float(module.metrics.get("bottleneck/replaced", 0.0))


def assert_same(left: Any, right: Any, where: str = "state") -> None:
    """Compare two nested states, tensors bit for bit."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def _trained(run: Path) -> dict[str, Any]:
    state = read_state(run / STATE_NAME)
    return {name: state[name] for name in TRAINED}


# Before the discriminator's first step, before the k-means start, and between two rounds of replacement.
@pytest.mark.parametrize("interrupted_after", [1, 3, 7])
@pytest.mark.parametrize(
    "options",
    [{}, {"balancer": True}, {"frame_losses": FrameLossConfig(examples=1.0, rate=0.5)}],
    ids=["plain", "balancer", "frame_losses"],
)
def test_an_interrupted_training_ends_in_the_same_bits(
    tmp_path: Path, clips: Path, interrupted_after: int, options: dict[str, Any]
) -> None:
    recipe = tiny_recipe(**options)
    replacements = Replacements()
    whole = tiny_fit(recipe, clips, tmp_path / "whole", callbacks=[replacements])
    assert replacements.count > 0
    parts = tmp_path / "parts"
    with pytest.raises(TrainingStopped, match=f"after step {interrupted_after}"):
        tiny_fit(recipe, clips, parts, callbacks=[SignalAfter(interrupted_after)])
    # What a resumed process happened to draw before must not matter.
    torch.manual_seed(12345)
    second = tiny_fit(recipe, clips, parts, resume=True)
    assert whole.steps == second.steps == 14
    assert_same(_trained(tmp_path / "whole"), _trained(parts))
    assert torch.equal(whole.model.bottleneck.usage.counts, second.model.bottleneck.usage.counts)


def test_a_training_of_the_decoder_alone_resumes_in_the_same_bits(tmp_path: Path, clips: Path) -> None:
    tiny_fit(tiny_recipe(adversarial=False), clips, tmp_path / "start")
    recipe, start = tiny_recipe(decoder_only=True, max_steps=8), tmp_path / "start" / STATE_NAME
    tiny_fit(recipe, clips, tmp_path / "whole", init_from=start)
    with pytest.raises(TrainingStopped):
        tiny_fit(recipe, clips, tmp_path / "parts", init_from=start, callbacks=[SignalAfter(3)])
    with pytest.raises(UsageError, match="another decoder_only"):
        tiny_fit(tiny_recipe(max_steps=8), clips, tmp_path / "parts", resume=True)
    tiny_fit(recipe, clips, tmp_path / "parts", resume=True)
    assert_same(_trained(tmp_path / "whole"), _trained(tmp_path / "parts"))


@pytest.mark.parametrize(
    "bottleneck",
    [
        BottleneckConfig(num_codebooks=3, codebook_size=8, estimator="ema"),
        BottleneckConfig(num_codebooks=3, codebook_size=8, estimator="rotation", replacement="split"),
        AdditiveConfig(num_codebooks=3, codebook_size=8, beam=4, train_beam=2),
        ProductConfig(num_codebooks=2, codebook_size=8, rotation=True),
    ],
    ids=["ema", "rotation", "additive", "product"],
)
def test_every_bottleneck_resumes_and_is_exported_whole(
    tmp_path: Path, clips: Path, bottleneck: BottleneckConfig | AdditiveConfig | ProductConfig
) -> None:
    recipe = with_bottleneck(tiny_recipe(adversarial=False), bottleneck)
    whole = tiny_fit(recipe, clips, tmp_path / "whole")
    with pytest.raises(TrainingStopped):
        tiny_fit(recipe, clips, tmp_path / "parts", callbacks=[SignalAfter(7)])
    tiny_fit(recipe, clips, tmp_path / "parts", resume=True)
    assert_same(_trained(tmp_path / "whole"), _trained(tmp_path / "parts"))
    with whole.ema.swap(whole.model):
        exported = averaged_model(read_state(tmp_path / "whole" / STATE_NAME), recipe.model)
        assert_same(dict(exported.state_dict()), dict(whole.model.state_dict()))


def test_validation_changes_no_bit_of_the_training(tmp_path: Path, clips: Path) -> None:
    plain = tiny_fit(tiny_recipe(), clips, tmp_path / "plain")
    validated = tiny_fit(tiny_recipe(), clips, tmp_path / "validated", valid=[clips])
    assert_same(dict(plain.state_dict()), dict(validated.state_dict()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_after_its_step(tmp_path: Path, clips: Path, number: int) -> None:
    with pytest.raises(TrainingStopped, match="go on with --resume") as stopped:
        tiny_fit(tiny_recipe(), clips, tmp_path, callbacks=[SignalAfter(2, number)])
    assert stopped.value.exit_code == 128 + number
    assert read_state(tmp_path / STATE_NAME)["progress"]["steps"] == 2


def test_signals_mean_what_they_did_after_a_training(tmp_path: Path, clips: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    tiny_fit(tiny_recipe(max_steps=1), clips, tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_states_are_saved_by_the_clock(tmp_path: Path, clips: Path) -> None:
    """A power cut leaves no time for a last state."""

    class PowerCut(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
            if module.steps == 3:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        tiny_fit(tiny_recipe(), clips, tmp_path, callbacks=[PowerCut()], save_minutes=0.0)
    assert read_state(tmp_path / STATE_NAME)["progress"]["steps"] == 3
    module = tiny_fit(tiny_recipe(), clips, tmp_path, resume=True)
    assert module.steps == 14
    assert not list(tmp_path.glob(".*.part"))
