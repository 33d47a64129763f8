"""The models of this process."""

from __future__ import annotations

from functools import lru_cache

import torch

from codec.checkpoint import load_model
from codec.model import CodecModel


@lru_cache(maxsize=4)
def cached_model(name_or_path: str) -> CodecModel:
    """As `codec.checkpoint.load_model`, but once for all files of a folder, and run by one thread.

    The matrices are small: where other programs run too, threads that wait for each other make a file take a
    hundred times as long. Many files at once use all processors by processes.
    """
    torch.set_num_threads(1)
    return load_model(name_or_path)
