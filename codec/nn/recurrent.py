"""The LSTM of the EnCodec layout, with a skip connection, for whole sequences and step by step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.nn.rows import fit_rows, whole_rows


class ResidualLstm(nn.Module):
    """x plus an LSTM of x (Hochreiter and Schmidhuber 1997): ``[B, C, F]`` to ``[B, C, F]``.

    Steps take rows ``[B, F, C]``: all are projected together, then the recurrence takes one at a time, always
    in the same shapes.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers)

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences, from a state of zeros."""
        y, _ = self.lstm(x.permute(2, 0, 1))
        added: Tensor = x + y.permute(1, 2, 0)
        return added

    def rows_after(self, valid: int) -> int:
        """As many rows as before."""
        return valid

    def start(self, batch: int) -> tuple[Tensor, ...]:
        """Output and cell of each layer, ``[B, 2, C]``."""
        return tuple(
            weight_ih.new_zeros(batch, 2, weight_ih.shape[1]) for weight_ih, *_ in self.lstm.all_weights
        )

    def step(self, x: Tensor, state: tuple[Tensor, ...], valid: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The next rows ``[B, F, C]``, of which ``valid``, at least one, are real."""
        skip = y = fit_rows(x, whole_rows(valid))
        after = []
        for weights, before in zip(self.lstm.all_weights, state, strict=True):
            y, layer_state = _layer_step(y, before, valid, *weights)
            after.append(layer_state)
        return skip + y, tuple(after)


def _layer_step(
    x: Tensor,
    state: Tensor,
    valid: int,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    projected = F.linear(x, weight_ih, bias_ih + bias_hh)
    h, cell = state.unbind(1)
    outputs = []
    for row in projected[:, :valid].unbind(1):
        gates = row + F.linear(h, weight_hh)
        # Torch stacks them in this order; the third passes through tanh instead of the sigmoid.
        write, keep, _, read = gates.sigmoid().chunk(4, dim=1)
        candidate = gates.chunk(4, dim=1)[2].tanh()
        cell = keep * cell + write * candidate
        h = read * cell.tanh()
        outputs.append(h)
    return fit_rows(torch.stack(outputs, dim=1), x.shape[1]), torch.stack([h, cell], dim=1)
