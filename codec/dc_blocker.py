"""Direct current taken out of a stream, before anything is coded: no network was trained on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.pcm import Samples

# A mean over whole periods of 5 Hz leaves mains hum as it is, at 50 and at 60 Hz.
_SECONDS = 0.2
# Nearly all float32 samples below full scale are whole multiples of its inverse.
_STEPS = 2.0**24


class DcBlocker:
    """Subtracts from each sample the mean of the last 200 ms, itself included; causal, without delay.

    As a filter ``1 - (1 + z^-1 + ... + z^-(N-1)) / N``: nothing of a constant is left, and above 60 Hz the
    response differs from 1 by less than 0.03. In the first 200 ms the mean is over what has come, so that a
    constant does not begin with a thump. Means are sums of integers: for any way of cutting the input the
    output has the same bits.

    Args:
        sample_rate: of the stream, Hz.
        channels: C, each filtered by itself.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._last = np.zeros((round(_SECONDS * sample_rate), channels), np.int64)
        self._seen = 0

    def push(self, pcm: Samples) -> Samples:
        """Take samples ``[n, C]`` below 1e7 and return as many."""
        window = len(self._last)
        steps = np.concatenate([self._last, np.rint(pcm * np.float32(_STEPS)).astype(np.int64)])
        self._last = steps[len(pcm) :].copy()
        # The running sum of a long piece may wrap around; differences over a window, below 2^63, stay right.
        total: NDArray[np.int64] = np.cumsum(steps, axis=0)
        counts = np.minimum(np.arange(self._seen + 1, self._seen + len(pcm) + 1), window)[:, None]
        self._seen += len(pcm)
        return (pcm - (total[window:] - total[:-window]) / (counts * _STEPS)).astype(np.float32)
