"""Comfort noise: what is played in frames that send no codebook, since they held nothing but background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.codes import Codes

SOURCES = 4
"""So many frames that were sent last are what the noise is drawn from."""


class ComfortNoise:
    """Puts codes into the frames of a stream that have none.

    A frame of a channel with n = 0 plays the codes of one of the last `SOURCES` frames of that channel that
    were sent. Which one, an integer generator says that is seeded by the frame's number and the channel:
    every decoder draws alike, wherever it started. Encoders send so many frames of background before they
    fall silent.

    In a container each block is filled by itself (`reset` before it), so that blocks stay independent; among
    packets the frames that came last are remembered.
    """

    def __init__(self) -> None:
        self._sources: Codes | None = None

    def reset(self) -> None:
        """Forget the frames so far."""
        self._sources = None

    def fill(self, codes: Codes, position: int) -> Codes:
        """Returns codes [C, M, F] with those of other frames where none were sent.

        Args:
            codes: [C, M, F], -1 where not sent; C and M are the same in every call between two resets.
            position: number of the first frame in the stream.

        Frames before the first that was sent stay without codes.
        """
        channels, count, _ = codes.shape
        if not count:
            return codes
        known = codes[:, :, :0] if self._sources is None else self._sources
        history = np.concatenate([known, codes], axis=2)
        kept = []
        for channel in range(channels):
            row = history[channel]
            sent = np.flatnonzero(row[0] >= 0)
            empty = np.flatnonzero(row[0] < 0)
            before = np.searchsorted(sent, empty)
            empty, before = empty[before > 0], before[before > 0]
            numbers = (empty + (position - known.shape[2])) * channels + channel
            drawn = _scramble(numbers) % np.minimum(before, SOURCES)
            row[:, empty] = row[:, sent[before - 1 - drawn]]
            last = row[:, sent[-SOURCES:]]
            kept.append(np.pad(last, ((0, 0), (SOURCES - last.shape[1], 0)), constant_values=-1))
        self._sources = np.stack(kept)
        return history[:, :, known.shape[2] :]


def _scramble(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fixed mixing of the low 32 bits of each number, one to one: shifts, exclusive ors and products."""
    x = numbers.astype(np.uint64).astype(np.uint32)
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    x = x ^ (x >> np.uint32(16))
    return x.astype(np.int64)
