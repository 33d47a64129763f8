"""Codes: what a quantizer chose, the one thing that a stream carries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codec.errors import UsageError

Codes = npt.NDArray[np.int64]
"""Codebook indices, [C, M, F] with C channels, M codebooks and F frames; -1 where a codebook is not sent."""

MAX_BITS_PER_CODE = 16


def bits_per_code(codebook_size: int) -> int:
    """Returns ceil(log2 K), the bits that a code of a codebook of K words takes.

    Args:
        codebook_size: K, 2 to 65536 words.

    Raises:
        UsageError: K is out of that range.
    """
    if not 2 <= codebook_size <= 1 << MAX_BITS_PER_CODE:
        raise UsageError(f"a codebook has 2 to {1 << MAX_BITS_PER_CODE} words, not {codebook_size}")
    return (codebook_size - 1).bit_length()


def codebooks_sent(codes: Codes) -> Codes:
    """The number of codebooks [C, F] that each frame of codes [C, M, F] sends.

    Raises:
        UsageError: a frame sends a codebook and leaves out one before it.
    """
    sent = codes >= 0
    n: Codes = sent.sum(axis=1, dtype=np.int64)
    if not np.array_equal(sent, np.arange(codes.shape[1])[:, None] < n[:, None]):
        raise UsageError("a frame sends its first n codebooks: -1 may stand behind its codes only")
    return n
