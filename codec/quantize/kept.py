"""What is worked out from a tensor, kept while the tensor stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Kept(Generic[T]):
    """Remembers what was last made from a tensor, and from which.

    Args:
        make: makes it; a copy or a pickle of this object holds that alone, and makes anew.
    """

    def __init__(self, make: Callable[[Tensor], T]) -> None:
        self._make = make
        self._from: Tensor | None = None
        self._version = 0
        self._made: T | None = None

    def __reduce__(self) -> tuple[type[Kept[T]], tuple[Callable[[Tensor], T]]]:
        return type(self), (self._make,)

    def of(self, tensor: Tensor) -> T:
        """``make(tensor)``: the last one, if it was made from these numbers.

        While the tensor asks for gradients it is made each time: what learns changes with every step. A
        change through ``.data``, which torch does not count, is not seen.
        """
        if tensor.requires_grad:
            return self._make(tensor)
        if self._made is None or not self._is_from(tensor):
            # Held, so that no other tensor comes to lie at its address.
            self._from, self._version = tensor.detach(), tensor._version
            # Tensors of inference mode do not count their changes, and get slower products.
            with torch.inference_mode(False):
                self._made = self._make(tensor)
        return self._made

    def _is_from(self, tensor: Tensor) -> bool:
        """In-place changes count the version up, a move to a device changes the address."""
        held = self._from
        return held is not None and held.data_ptr() == tensor.data_ptr() and self._version == tensor._version
