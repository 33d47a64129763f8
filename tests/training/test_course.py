"""Trainings that last some minutes: where they end, what follows the clock, and that they resume exactly."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from codec.errors import CodecError, UsageError
from codec.training.config import OptimizerConfig, Recipe, TrainingConfig, with_length
from codec.training.course import Course, learning_rate_share
from codec.training.data import DataConfig
from codec.training.pace import Pace, device_use
from codec.training.state import STATE_NAME, read_state
from tests.training.test_resume import TRAINED, assert_same
from tests.training.tiny import ADVERSARIAL, tiny_fit, tiny_recipe


class Clock(lightning.Callback):
    """Lets every step take some seconds, and keeps the learning rates."""

    def __init__(self, seconds_a_step: float) -> None:
        self.now = 1000.0
        self.seconds_a_step = seconds_a_step
        self.rates: list[float] = []
        self.judged: list[bool] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        pl_module.course = Course(pl_module.recipe.training, clock=lambda: self.now)

    def on_train_batch_start(self, *_: Any) -> None:
        self.now += self.seconds_a_step

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.rates.append(float(module.metrics["train/learning_rate"]))
        self.judged.append("loss/adversarial" in module.metrics)


def _minutes(minutes: float, **training: Any) -> Recipe:
    return tiny_recipe(max_minutes=minutes, data=DataConfig(0.1, 3, on_device=True), **training)


def test_the_share_follows_the_clock_or_the_steps() -> None:
    now = [5.0]
    by_clock = Course(TrainingConfig(max_minutes=1.0), clock=lambda: now[0])
    by_steps = Course(TrainingConfig(max_steps=4), clock=lambda: now[0])
    for course in (by_clock, by_steps):
        course.begin()
    for _ in range(3):
        now[0] += 18.0
        by_clock.take_step()
        by_steps.take_step()
    assert by_clock.share == pytest.approx(0.9)
    assert by_steps.share == 0.75
    # What happens between two runs takes none of the time of the training.
    now[0] += 1000.0
    by_clock.begin()
    now[0] += 6.0
    by_clock.take_step()
    by_steps.take_step()
    assert by_clock.over
    assert by_steps.over
    assert by_clock.seconds == 60.0


def test_the_learning_rate_has_decayed_when_the_minutes_are_over(tmp_path: Path, clips: Path) -> None:
    optimizer = OptimizerConfig(learning_rate=1e-3, warmup_steps=2, final_share=0.05)
    clock = Clock(seconds_a_step=5.0)
    module = tiny_fit(_minutes(1.5, optimizer=optimizer), clips, tmp_path, callbacks=[clock])
    assert module.steps == 18
    assert clock.rates[2:] == sorted(clock.rates[2:], reverse=True)
    assert clock.rates[9] == pytest.approx(1e-3 * learning_rate_share(optimizer, 9, 0.5))
    assert clock.rates[-1] == pytest.approx(5e-5, rel=0.2)


def test_the_discriminator_can_wait_for_a_share_of_the_training(tmp_path: Path, clips: Path) -> None:
    clock = Clock(seconds_a_step=6.0)
    adversarial = dataclasses.replace(ADVERSARIAL, start_step=0, start_share=0.5)
    recipe = _minutes(2.0)
    recipe = dataclasses.replace(
        recipe, training=dataclasses.replace(recipe.training, adversarial=adversarial)
    )
    tiny_fit(recipe, clips, tmp_path, callbacks=[clock])
    assert clock.judged == [False] * 10 + [True] * 10


@pytest.mark.parametrize("paused_after", [2, 7])
def test_a_paused_training_ends_in_the_same_bits(tmp_path: Path, clips: Path, paused_after: int) -> None:
    """With the sound on the device, a discriminator, and a decay that follows the clock."""
    recipe = _minutes(1.4)
    whole = tiny_fit(recipe, clips, tmp_path / "whole", callbacks=[Clock(6.0)])
    assert whole.steps == 14

    class Pause(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
            if module.steps == paused_after - 1:
                (saver,) = [each for each in trainer.callbacks if hasattr(each, "paused")]
                saver._end = 0.0

    parts = tmp_path / "parts"
    first = tiny_fit(recipe, clips, parts, callbacks=[Clock(6.0), Pause()], stop_after=60.0)
    assert first.steps == paused_after
    assert not first.course.over
    torch.manual_seed(12345)
    tiny_fit(recipe, clips, parts, resume=True, callbacks=[Clock(6.0)])
    names = (*TRAINED, "seconds")
    states = [read_state(run / STATE_NAME) for run in (tmp_path / "whole", parts)]
    assert_same(*({name: state[name] for name in names} for state in states))


def test_a_run_pauses_by_the_real_clock(tmp_path: Path, clips: Path) -> None:
    module = tiny_fit(_minutes(10.0), clips, tmp_path, stop_after=0.0)
    assert module.steps == 1
    assert 0.0 < read_state(tmp_path / STATE_NAME)["seconds"] < 60.0


def test_what_is_done_needs_more_minutes(tmp_path: Path, clips: Path) -> None:
    tiny_fit(_minutes(0.5), clips, tmp_path, callbacks=[Clock(10.0)])
    with pytest.raises(UsageError, match="--minutes"):
        tiny_fit(_minutes(0.5), clips, tmp_path, resume=True)
    assert tiny_fit(_minutes(1.0), clips, tmp_path, resume=True, callbacks=[Clock(10.0)]).steps == 6


def test_a_length_is_steps_or_minutes() -> None:
    recipe = _minutes(3.0)
    assert with_length(recipe).training.max_minutes == 3.0
    assert with_length(recipe, minutes=5.0).training.max_minutes == 5.0
    in_steps = with_length(recipe, steps=7).training
    assert (in_steps.max_steps, in_steps.max_minutes) == (7, None)
    with pytest.raises(UsageError, match="not both"):
        with_length(recipe, 7, 5.0)
    with pytest.raises(CodecError, match="max_minutes"):
        with_length(recipe, minutes=0.0)


def test_the_pace_and_the_use_of_the_device_are_said(
    tmp_path: Path, clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="codec.training"):
        tiny_fit(tiny_recipe(max_steps=4), clips, tmp_path, callbacks=[Pace(seconds=0.0)])
    lines = [record.getMessage() for record in caplog.records if "steps/s" in record.getMessage()]
    assert len(lines) == 4
    assert lines[1].startswith("step 2, 50.0 % of the training: ")
    assert all(" loss " in line and "cores busy" in line for line in lines)
    assert device_use(torch.device("cpu"), 1.25) == "1.2 cores busy"
