"""What is worked out from a tensor, kept while the tensor stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Kept(Generic[T]):
    """``make(tensor)``, made anew when the tensor has changed, and each time while it asks for gradients:
    what learns changes with every step. A change through ``.data``, which torch does not count, is not seen.
    """

    def __init__(self, make: Callable[[Tensor], T]) -> None:
        self._make = make
        self._kept: tuple[tuple[int, int], T] | None = None

    def of(self, tensor: Tensor) -> T:
        """See the class."""
        if tensor.requires_grad:
            return self._make(tensor)
        # In-place changes count the version up, a move to a device changes the address.
        state = (tensor._version, tensor.data_ptr())
        if self._kept is None or self._kept[0] != state:
            # Tensors of inference mode do not count their changes, and get slower products.
            with torch.inference_mode(False):
                self._kept = (state, self._make(tensor))
        return self._kept[1]
