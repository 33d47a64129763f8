"""One row of a table of short trainings: a model, trained or taken up where it is."""

from __future__ import annotations

from pathlib import Path

import torch

from codec.errors import UsageError
from codec.model import CodecModel
from codec.training.config import Recipe
from codec.training.fit import fit
from codec.training.state import STATE_NAME, averaged_model, read_state, recipe_of
from recipes.speech_16k.candidates import Build

Sources = dict[str, list[str]]


def trained(
    recipe: Recipe, folder: Path, sources: Sources, start: str | None = None, build: Build = CodecModel
) -> CodecModel:
    """The model of a recipe, trained on one thread of the CPU; what is there of the training is taken up.

    Args:
        recipe: model and training.
        folder: of the training.
        sources: ``data`` and ``noise``, as of `codec train`.
        start: what the training starts from, as of `codec train --init-from`.
        build: makes the model.

    Raises:
        UsageError: what is there was trained by another recipe.
    """
    torch.set_num_threads(1)
    state = folder / STATE_NAME
    found = read_state(state) if state.exists() else None
    if found is not None and recipe_of(found, state) != recipe:
        raise UsageError(f"{folder} was trained by another recipe: remove it, or give another --run")
    if found is None or found["progress"]["steps"] < recipe.training.max_steps:
        resume = found is not None
        fit(
            recipe,
            sources["data"],
            folder,
            sources["noise"],
            device="cpu",
            resume=resume,
            init_from=None if resume else start,
            build=build,
        )
    return averaged_model(read_state(state), recipe.model, build).eval()
