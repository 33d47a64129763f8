"""The hash over all codes of a stream, by which a decoder proves that it has what the encoder wrote."""

from __future__ import annotations

import hashlib

import numpy as np

from codec.bitstream.codes import Codes, codebooks_sent
from codec.bitstream.lengths import HASH_BYTES
from codec.errors import UsageError

_MAX_WORD = (1 << 16) - 1


class CodesHash:
    """SHA-256 over the codes, cut to 8 bytes.

    Hashed are, frame by frame and in a frame channel by channel: the number n of codebooks sent, then the n
    codes, each as 16 bits, the most significant byte first. How frames are cut into blocks does not matter.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, codes: Codes) -> None:
        """Takes the next frames.

        Args:
            codes: [C, M, F]; -1 behind the last code that a frame of a channel sends.

        Raises:
            UsageError: the codes have another shape, or do not fit into 16 bits.
        """
        if codes.ndim != 3 or codes.max(initial=0) > _MAX_WORD:
            raise UsageError("the hash takes codes [C, M, F] of at most 16 bits")
        counts = codebooks_sent(codes)
        words = np.concatenate([counts[:, None], codes], axis=1).transpose(2, 0, 1)
        self._sha256.update(words[words >= 0].astype(">u2").tobytes())

    def digest(self) -> bytes:
        """Returns the 8 bytes for all frames taken so far."""
        return self._sha256.digest()[:HASH_BYTES]

    def __deepcopy__(self, memo: dict[int, object]) -> CodesHash:
        """A stream's state can be copied, and the objects of hashlib only by their own method."""
        twin = CodesHash()
        twin._sha256 = self._sha256.copy()
        return twin
