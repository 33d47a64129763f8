"""Runs a training: what the command line and the recipes' scripts start."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from codec.errors import CodecError
from codec.training.config import Recipe
from codec.training.data import AudioDataModule
from codec.training.module import CodecTraining
from codec.training.saving import StateSaver

log = logging.getLogger(__name__)

STATE_NAME = "last.ckpt"


def fit(
    recipe: Recipe,
    data: Sequence[Path],
    run: Path,
    noise: Sequence[Path] = (),
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    accelerator: str = "auto",
    save_minutes: float = 5.0,
    progress: bool = True,
) -> CodecTraining:
    """Train a recipe to its end, keeping the state in ``run``.

    Args:
        recipe: model and training.
        data: folders, manifests or packed parts of audio.
        run: folder for the state (``last.ckpt``, every ``save_minutes``) and the TensorBoard log.
        noise: the same as data, for augmentation.
        resume: go on exactly where the state in ``run`` ends.
        callbacks: further Lightning callbacks, for example validation.
        accelerator: Lightning's name of the device.
        save_minutes: time between saved states.
        progress: show a progress bar.

    Raises:
        CodecError: there is nothing to train on, or nothing to resume.
    """
    state = run / STATE_NAME
    if resume and not state.is_file():
        raise CodecError(f"{state} does not exist: start the training without --resume")
    if not resume and state.is_file():
        raise CodecError(
            f"{run} holds a training already: go on with --resume or give another folder with --run"
        )
    lightning.seed_everything(recipe.training.seed, verbose=False)
    module = CodecTraining(recipe)
    datamodule = AudioDataModule(
        recipe.training.data, recipe.model.sample_rate, data, noise, recipe.training.seed, recipe.model.hop
    )
    bars = [TQDMProgressBar(refresh_rate=10)] if progress else []
    trainer = lightning.Trainer(
        accelerator=accelerator,
        max_epochs=-1,
        logger=TensorBoardLogger(run, name="", version=""),
        callbacks=[StateSaver(state, save_minutes), *bars, *callbacks],
        enable_checkpointing=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=20,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule, ckpt_path=str(state) if resume else None)
    trainer.save_checkpoint(state)
    return module
