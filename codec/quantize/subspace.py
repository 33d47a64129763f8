"""Search in the directions that codebooks use: nearly the same words, in less time.

What an encoder learns may leave a part of the latents' space to noise, and then hardly a word points there:
speech_16k_6 has latents of 128 numbers, whose codebooks have 99 % of their energy each in 80 directions.
Products with words of 80 numbers take two thirds of the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from codec.quantize.distances import Distances

# No codebook loses a larger share of its energy. The words found in speech_16k_6 then leave an error within
# 0.1 % of what those found in the whole space leave; `tools/bench_search.py` compares shares.
LEFT_OUT = 0.01
# Directions come in such numbers, which processors take at a time.
_MULTIPLE = 16


class Subspace:
    """The first principal directions, about the origin, of all words of some codebooks.

    There are as many as it takes for no codebook to lose more than a share of its energy; what words have
    outside of them plays no part in a search. Words that learn keep the whole space, since to look for
    directions takes longer than a training step.

    Args:
        words: the codebooks ``[M, K, D]``, which have to stay as they are.
        left_out: that share.

    Attributes:
        distances: of the words in it, ``[M, K, R]``.
    """

    def __init__(self, words: Tensor, left_out: float = LEFT_OUT) -> None:
        self._basis = None if words.requires_grad else _principal_directions(words, left_out)
        self.distances = Distances(self.project(words))

    def project(self, x: Tensor) -> Tensor:
        """Vectors ``[..., D]`` in it: ``[..., R]``."""
        if self._basis is None:
            return x
        # The last bits of a product may depend on the number of rows: of float64 they hardly reach float32.
        return (x.to(self._basis.dtype) @ self._basis).to(x.dtype)


def _principal_directions(words: Tensor, left_out: float) -> Tensor | None:
    """An orthonormal basis ``[D, R]``, or None where all of the space is needed."""
    flat = words.cpu().double()
    moments = flat.transpose(1, 2) @ flat
    directions: Tensor = torch.linalg.eigh(moments.sum(dim=0)).eigenvectors.flip(1)
    # [M, D]: of each codebook, the energy in each direction.
    energies = (directions * (moments @ directions)).sum(dim=1)
    wanted = (1.0 - left_out) * energies.sum(dim=1, keepdim=True)
    needed = int((energies.cumsum(dim=1) < wanted).sum(dim=1).max()) + 1
    size = -(-needed // _MULTIPLE) * _MULTIPLE
    if size >= words.shape[2]:
        return None
    # Apple's GPUs know no float64.
    known = torch.float32 if words.device.type == "mps" else torch.float64
    return directions[:, :size].contiguous().to(words.device, known)
