"""Runs a training: what the command line and the recipes' scripts start."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.utilities import rank_zero_only

from codec.config import CodecConfig
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.training.callbacks import CodebookMonitor, StepBar, Validation
from codec.training.config import Recipe, TrainingConfig, recipe_yaml
from codec.training.data import AudioDataModule
from codec.training.module import CodecTraining
from codec.training.pace import Pace
from codec.training.saving import StateSaver, TrainingStopped
from codec.training.state import (
    STATE_NAME,
    StateFiles,
    initial_discriminator,
    initial_model,
    read_state,
    recipe_of,
)

log = logging.getLogger(__name__)

CONFIG_NAME = "config.yaml"
DEVICES = ("auto", "cpu", "cuda", "mps")


def fit(
    recipe: Recipe,
    data: Sequence[str | Path],
    run: Path,
    noise: Sequence[str | Path] = (),
    valid: Sequence[str | Path] = (),
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    device: str = "auto",
    devices: int = 1,
    save_minutes: float = 5.0,
    stop_after: float | None = None,
    progress: bool = True,
    build: Callable[[CodecConfig], CodecModel] = CodecModel,
) -> CodecTraining:
    """Train a recipe to its end, or as long as it may, keeping the state in ``run``.

    Args:
        recipe: model and training.
        data: folders, manifests, packed parts or corpora, as `Source.parse` reads them.
        run: folder for the state (``last.ckpt``), the recipe (``config.yaml``) and the TensorBoard log.
        noise: the same as data, for augmentation.
        valid: the same as data, for validation, which needs one.
        resume: go on exactly where the state in ``run`` ends.
        init_from: released folder, shipped model's name or training state that a new training starts from;
            a state's discriminator comes along where the recipe has one like it.
        callbacks: further Lightning callbacks.
        device: "cpu", "cuda", "mps", or "auto" for the best one there is.
        devices: how many of them, one process each.
        save_minutes: time between saved states.
        stop_after: minutes from this call on after which the training pauses, its state being saved.
        progress: show a progress bar.
        build: see `CodecTraining`.

    Raises:
        UsageError: the run folder, the device or their number does not fit, or the decoder alone is to be
            trained and no model is given that it belongs to.
        CodecError: there is nothing to train on or to start from, or three gradients in a row are not finite.
        TrainingStopped: a signal ended the training early; its state is saved.
    """
    saver = StateSaver(run / STATE_NAME, save_minutes, stop_after)
    _require_device(device, devices)
    if recipe.training.decoder_only and not resume and init_from is None:
        raise UsageError("decoder_only needs a trained model: name one with --init-from")
    _prepare_run(recipe, run, resume)
    module = _new_module(recipe, None if resume else init_from, build)
    datamodule = AudioDataModule(
        recipe.training.data, recipe.model.sample_rate, data, noise, recipe.training.seed, recipe.model.hop
    )
    watching = [CodebookMonitor(), Pace(), *([Validation(valid)] if valid else [])]
    bars = [StepBar(refresh_rate=10)] if progress else []
    trainer = _trainer(run, [saver, *watching, *bars, *callbacks], device, devices)
    with warnings.catch_warnings():
        # The loader's workers are the recipe's choice; what Lightning uses of torch is its own affair.
        warnings.filterwarnings("ignore", ".*does not have many workers.*|.*LeafSpec.*deprecated.*")
        trainer.fit(module, datamodule, ckpt_path=str(run / STATE_NAME) if resume else None)
    if not (module.course.over or saver.paused):
        # Another rank may have got the signal.
        raise TrainingStopped(saver.received or signal.SIGINT, module.steps, run / STATE_NAME)
    return module


def _new_module(
    recipe: Recipe, init_from: str | Path | None, build: Callable[[CodecConfig], CodecModel]
) -> CodecTraining:
    lightning.seed_everything(recipe.training.seed, verbose=False)
    module = CodecTraining(recipe, build)
    if init_from is not None:
        discriminator = initial_discriminator(init_from, recipe.training.adversarial)
        module.start_from(initial_model(init_from, recipe.model), discriminator)
    return module


def _trainer(run: Path, callbacks: list[Callback], device: str, devices: int) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=device,
        devices=devices,
        strategy=_strategy(devices),
        max_epochs=-1,
        default_root_dir=run,
        logger=_logger(run),
        callbacks=callbacks,
        plugins=[StateFiles()],
        enable_checkpointing=False,
        enable_progress_bar=any(isinstance(callback, StepBar) for callback in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _require_device(device: str, devices: int) -> None:
    if device not in DEVICES:
        raise UsageError(f"{device!r} is no device: use {', '.join(DEVICES)}")
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise UsageError(
            f"{torch.cuda.device_count()} CUDA devices are here, not {devices}: use fewer, or cpu"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no MPS device here: use cpu")
    if devices < 1:
        raise UsageError(f"the number of devices must be positive, not {devices}")


@rank_zero_only
def _prepare_run(recipe: Recipe, run: Path, resume: bool) -> None:
    """Refuse a folder that does not fit, or make it and put the recipe there."""
    state_path = run / STATE_NAME
    if resume:
        if not state_path.is_file():
            raise UsageError(f"{state_path} does not exist: start the training without --resume")
        state = read_state(state_path)
        _require_same_networks(recipe_of(state, state_path), recipe, state_path)
        _require_more_to_do(recipe.training, state, state_path)
    elif state_path.exists():
        raise UsageError(
            f"{run} holds a training already: go on with --resume or give another folder with --run"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        text = recipe_yaml(recipe)
        (run / CONFIG_NAME).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CodecError(f"{run} cannot be written ({error.strerror}): choose another folder") from error
    log.info("%s holds this recipe:\n%s", run / CONFIG_NAME, text.rstrip())


def _require_same_networks(before: Recipe, now: Recipe, path: Path) -> None:
    """Refuse a recipe whose weights are not those of the state."""
    discriminators = [
        recipe.training.adversarial and recipe.training.adversarial.discriminator for recipe in (before, now)
    ]
    for name, differs in (
        ("model", before.model != now.model),
        ("discriminator", discriminators[0] != discriminators[1]),
        ("balancer", before.training.balancer != now.training.balancer),
        ("decoder_only", before.training.decoder_only != now.training.decoder_only),
    ):
        if differs:
            raise UsageError(
                f"{path} is of another {name} than the recipe: use the recipe it was started with, or begin "
                "anew from it with --init-from"
            )


def _require_more_to_do(config: TrainingConfig, state: dict[str, Any], path: Path) -> None:
    if config.max_minutes is None and state["progress"]["steps"] >= config.max_steps:
        raise UsageError(f"{path} has done all {config.max_steps} steps: ask for more with --steps")
    if config.max_minutes is not None and state.get("seconds", 0.0) >= 60.0 * config.max_minutes:
        raise UsageError(f"{path} has done all {config.max_minutes} minutes: ask for more with --minutes")


def _strategy(devices: int) -> Strategy | str:
    if devices == 1:
        return "auto"
    # In the warm start the codebooks have no gradient, and each optimizer's backward leaves out the weights
    # of the other.
    return DDPStrategy(find_unused_parameters=True)


def _logger(run: Path) -> Logger:
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        log.warning(
            "without TensorBoard the log is a table in %s; pip install 'codec[train]'", run / "metrics"
        )
        return CSVLogger(run, name="metrics")
    return TensorBoardLogger(run, name="", version="")
