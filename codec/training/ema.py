"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from codec.errors import CodecError


class WeightEma:
    """A float32 copy of a module's parameters that follows them as an exponential moving average.

    Update n, counted from 0, makes it d * copy + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)):
    the warm-up lets the first updates forget the random start. Buffers are not averaged.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        """Start from the present parameters of `module`; ValueError unless 0 <= decay < 1."""
        if not 0 <= decay < 1:
            raise ValueError(f"expected a decay in [0, 1), got {decay}")
        self.decay = decay
        self.num_updates = 0
        self._shadow = {name: _copy(parameter) for name, parameter in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the copy towards the parameters of `module`; it follows the module to another device."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        parameters = [parameter.detach() for parameter in self._matching(module).values()]
        for (name, shadow), parameter in zip(self._shadow.items(), parameters, strict=True):
            self._shadow[name] = shadow.to(parameter.device)
        torch._foreach_lerp_(list(self._shadow.values()), [p.float() for p in parameters], 1 - decay)
        self.num_updates += 1

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the parameters of `module` with their averages."""
        for name, parameter in self._matching(module).items():
            parameter.copy_(self._shadow[name])

    @contextmanager
    def swap(self, module: nn.Module) -> Iterator[None]:
        """Give `module` its averaged parameters inside the `with` block, and its own back bit for bit."""
        own = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
        self.copy_to(module)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(own[name])

    @torch.no_grad()
    def reset_rows(self, name: str, rows: Tensor | tuple[Tensor, ...], values: Tensor) -> None:
        """Set `rows` of the average of parameter `name` to `values`, forgetting their past.

        For codebook words that were replaced: the mean of a dead word and the one in its place is neither.
        rows: an index of the leading dimension, or a tuple of them for as many dimensions: (m, k) for
        codebooks [M, K, D]. values: [n, ...], one entry a row. Raises KeyError for an unknown name.
        """
        shadow = self._shadow[name]
        shadow[rows] = values.detach().to(shadow)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, not copied: {"num_updates": n, "shadow": {name: float32 tensor}}."""
        return {"num_updates": self.num_updates, "shadow": dict(self._shadow)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; CodecError where names or shapes are not those of this module."""
        shadow: Mapping[str, Tensor] = state["shadow"]
        _require_same(self._shadow, shadow)
        for name, value in shadow.items():
            self._shadow[name].copy_(value)
        self.num_updates = int(state["num_updates"])

    def _matching(self, module: nn.Module) -> dict[str, nn.Parameter]:
        parameters = dict(module.named_parameters())
        _require_same(self._shadow, parameters)
        return parameters


def _copy(parameter: Tensor) -> Tensor:
    return parameter.detach().to(torch.float32, copy=True)


def _require_same(shadow: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    for name in sorted(shadow.keys() ^ other.keys()):
        raise CodecError(f"the averaged weights are of another model: {name} is on one side only")
    for name, value in shadow.items():
        if value.shape != other[name].shape:
            raise CodecError(
                f"the averaged weights are of another model: {name} is {tuple(value.shape)} here "
                f"and {tuple(other[name].shape)} there"
            )
