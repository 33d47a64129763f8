"""The linear layer of the networks: torch's own in training, faster in inference."""

from __future__ import annotations

from torch import Tensor, nn

from codec.products import Product


class Linear(nn.Linear):
    """`torch.nn.Linear` that keeps its weight reordered in inference; see `codec.products`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self._product = Product()

    def forward(self, input: Tensor) -> Tensor:
        """``[..., I]`` to ``[..., O]``."""
        return self._product(input, self.weight, self.bias)

    def gelu(self, input: Tensor) -> Tensor:
        """The GELU, in its tanh form, of `forward`."""
        return self._product(input, self.weight, self.bias, gelu=True)
