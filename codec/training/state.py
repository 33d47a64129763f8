"""Training states on disk: one file that holds all of a training, read without running anything in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from codec.config import CodecConfig, from_mapping, to_mapping
from codec.errors import CodecError
from codec.model import CodecModel
from codec.nn.convolution import add_weight_norm, fold_weight_norm
from codec.training.config import AdversarialConfig, Recipe
from codec.training.ema import WeightEma

STATE_NAME = "last.ckpt"
# What a bottleneck may change without its weights meaning something else.
_FREE = ("estimator", "beam", "train_beam", "polish", "replacement")


class StateFiles(CheckpointIO):
    """How Lightning reads and writes states: replaced as a whole, and only data taken from them."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write beside ``path``, then rename."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        torch.save(checkpoint, partial)
        os.replace(partial, path)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """See `read_state`."""
        return read_state(path)

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a state."""
        Path(path).unlink(missing_ok=True)


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a training state, its tensors in main memory.

    Raises:
        CodecError: the file is missing, damaged or no training state.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CodecError(f"{path} cannot be read ({error.strerror}): name a training state") from error
    except Exception as error:  # torch has many names for damage
        raise CodecError(f"{path} is damaged or no training state: take an older one") from error
    if not isinstance(state, dict) or not {"state_dict", "ema"} <= state.keys():
        raise CodecError(f"{path} is no training state of this project: name a last.ckpt")
    return state


def recipe_of(state: dict[str, Any], path: str | os.PathLike[str]) -> Recipe:
    """The recipe that a state was trained by; ``path`` is for messages.

    Raises:
        CodecError: the state does not hold one that this version knows.
    """
    if "recipe" not in state:
        raise CodecError(f"{path} does not say what recipe it was trained by: export it with its config")
    return from_mapping(Recipe, state["recipe"], f"{path}: recipe")


def averaged_model(
    state: dict[str, Any], config: CodecConfig, build: Callable[[CodecConfig], CodecModel] = CodecModel
) -> CodecModel:
    """The codec that a state would be released as: its averaged weights, in float32.

    ``build`` is that of the training.

    Raises:
        CodecError: the state is of another configuration.
    """
    model = build(config)
    add_weight_norm(model)
    average = WeightEma(model)
    average.load_state_dict(state["ema"])
    # Bottlenecks hold more than weights, and that is not averaged.
    own = {name.removeprefix("model."): value for name, value in state["state_dict"].items()}
    model.load_state_dict(own, strict=False)
    average.copy_to(model)
    fold_weight_norm(model)
    return model


def initial_model(source: str | os.PathLike[str], config: CodecConfig) -> CodecModel:
    """The trained codec that a training of ``config`` can start from.

    Args:
        source: a released folder, or a shipped model's name, or a training state.
        config: the model's name may differ, and how its bottleneck is searched and trained.

    Raises:
        CodecError: there is no such model, it cannot be read, or its configuration is another.
    """
    if Path(source).is_file():
        state = read_state(source)
        model = averaged_model(state, recipe_of(state, source).model)
    else:
        # Imported here: a training that starts from nothing has to run without safetensors.
        from codec.checkpoint import load_model

        model = load_model(os.fspath(source))
    mine, other = meaning(config), meaning(model.config)
    wrong = [name for name in mine if mine[name] != other[name]]
    if wrong:
        raise CodecError(
            f"{source} cannot start this training, its {wrong[0]} is {other[wrong[0]]!r}, the recipe's "
            f"{mine[wrong[0]]!r}: make the recipe's model the same"
        )
    return model


def initial_discriminator(
    source: str | os.PathLike[str], config: AdversarialConfig | None
) -> dict[str, Tensor] | None:
    """The weights of the discriminator that a training against ``config`` can start from.

    None where ``source`` is no training state, or one without such a discriminator.

    Raises:
        CodecError: the state cannot be read.
    """
    if config is None or not Path(source).is_file():
        return None
    state = read_state(source)
    theirs = recipe_of(state, source).training.adversarial
    if theirs is None or theirs.discriminator != config.discriminator:
        return None
    start = "objective.discriminator."
    return {
        name.removeprefix(start): value
        for name, value in state["state_dict"].items()
        if name.startswith(start)
    }


def meaning(config: CodecConfig) -> dict[str, Any]:
    """The part of a configuration that weights depend on: neither the name nor how codes are searched."""
    mapping = to_mapping(config)
    del mapping["name"]
    bottleneck = mapping["bottleneck"]
    return mapping | {"bottleneck": {key: bottleneck[key] for key in bottleneck if key not in _FREE}}
