"""Blocks that wait for the end of their sound, out of memory."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from codec.errors import CodecError
from codec.rate.window import Window
from codec.streaming.appraisal import Appraised

# More than so many bytes, about six minutes of one channel, go to disk.
_MEMORY_BYTES = 1 << 24


class BlockStore:
    """Keeps blocks in order, many of them in a temporary file without a name, so that nothing is left of it.

    Args:
        device: where their latents belong.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._file = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115
        self._positions: list[int] = []

    def __len__(self) -> int:
        """Blocks so far."""
        return len(self._positions)

    def add(self, block: Appraised) -> None:
        """Keep a block; raises CodecError if the disk is full."""
        with _disk_space():
            for array in (block.z.cpu().numpy(), block.window.distortion, block.window.bits):
                np.save(self._file, array)
        self._positions.append(block.position)

    def take(self) -> Iterator[Appraised]:
        """All blocks, from the first on; none is kept any more. Raises as `add`."""
        with self._file as file:
            with _disk_space():
                file.seek(0)
            for position in self._positions:
                z, distortion, bits = (np.load(file) for _ in range(3))
                yield Appraised(torch.from_numpy(z).to(self._device), Window(distortion, bits), position)


@contextmanager
def _disk_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        place = tempfile.gettempdir()
        raise CodecError(
            f"what two passes keep of a sound does not fit into {place}: set TMPDIR to a larger folder"
        ) from error
