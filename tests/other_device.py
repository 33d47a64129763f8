"""A device that is not the CPU, without the hardware: the CPU computes, what a GPU refuses is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

# Of the devices that are not the CPU, the one that every build of torch can keep apart from it.
DEVICE = torch.device("meta")
aten = torch.ops.aten
_AUTOCAST = torch.autocast
# A GPU copies from the CPU, and takes indices from there.
_MIXED = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default}


@contextmanager
def other_device() -> Iterator[torch.device]:
    """Within it, tensors on the device that it gives have values, and do not mix with those of the CPU."""
    with mock.patch.object(torch, "autocast", _autocast), _Numbers(), _Operations():
        yield DEVICE


def _autocast(kind: str, *args: Any, **kwargs: Any) -> torch.autocast:
    return _AUTOCAST("cpu" if kind == DEVICE.type else kind, *args, **kwargs)


class _Elsewhere(Tensor):
    """A tensor on `DEVICE`; ``here`` holds its values."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> _Elsewhere:
        made: _Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), dtype=here.dtype, device=DEVICE
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    """Tensors from numbers and back, for which torch asks the device without an operation to be seen."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.tolist:
            return _values(args[0]).tolist()
        if function in {torch.tensor, torch.as_tensor} and kwargs.get("device") == DEVICE:
            return function(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the values, its result where a GPU would have it."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    elsewhere = any(isinstance(each, _Elsewhere) for each in tensors)
    if elsewhere and function not in _MIXED:
        # Numbers in tensors without dimensions go anywhere.
        strangers = [each for each in tensors if not isinstance(each, _Elsewhere) and each.ndim]
        assert not strangers, f"{function} got tensors of the CPU among those of another device"
    on_cpu = _values(kwargs)
    if kwargs.get("device") is not None:
        elsewhere = torch.device(kwargs["device"]) == DEVICE
        on_cpu["device"] = "cpu"
    assert not (elsewhere and kwargs.get("generator")), f"{function} got a generator of the CPU"
    values = function(*_values(args), **on_cpu)
    if torch.Tag.inplace_view in function.tags:
        # The shape that the tensor shows has to follow its values'.
        with no_dispatch():
            function(*args, **kwargs)
    if function._schema.is_mutable and values is not None:
        return kwargs.get("out", args[0])
    # Marks that a tensor is conjugate or negative would be seen inside only.
    plain = tree_map_only(Tensor, lambda each: each.resolve_conj().resolve_neg(), values)
    return tree_map_only(Tensor, _Elsewhere, plain) if elsewhere else values


def _values(arguments: Any) -> Any:
    return tree_map_only(_Elsewhere, lambda each: each.here, arguments)
