"""Whole sequences in steps, for tests that compare the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from codec.nn.layers import State

Step = Callable[[Tensor, State, int], tuple[Tensor, State]]


def partitions(total: int) -> st.SearchStrategy[list[int]]:
    """Ways to cut `total` frames into steps."""
    cuts = st.lists(st.integers(1, total - 1), unique=True).map(sorted)
    return cuts.map(lambda at: [b - a for a, b in zip([0, *at], [*at, total], strict=True)])


def in_steps(
    step: Step, state: State, x: Tensor, sizes: Sequence[int], rows_in: int = 1, rows_out: int = 1
) -> tuple[Tensor, State]:
    """Outputs [B, F * rows_out, ...] of steps of `sizes` frames over x [B, F * rows_in, ...], and the state.

    Steps are filled up to a multiple of 8 frames with NaN, which must leave no trace.
    """
    outputs = []
    for part, valid in zip(x.split([size * rows_in for size in sizes], dim=1), sizes, strict=True):
        missing = -valid % 8 * rows_in
        filling = torch.full((x.shape[0], missing, *x.shape[2:]), torch.nan)
        y, state = step(torch.cat([part, filling], dim=1), state, valid)
        outputs.append(y[:, : valid * rows_out])
    return torch.cat(outputs, dim=1), state


def tensors(state: State) -> list[Tensor]:
    """The tensors of a state, in order."""
    return [state] if isinstance(state, Tensor) else [tensor for part in state for tensor in tensors(part)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that depends on the seed alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(actual: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, in the scale of what is expected."""
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * max(scale, 1e-6))
