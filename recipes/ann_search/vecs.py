"""Sets of vectors for nearest-neighbour search, in the public layouts fvecs, bvecs and ivecs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.errors import CodecError

# The type of the numbers by the end of a file's name.
_NUMBERS = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1"), ".ivecs": np.dtype("<i4")}
# Queries whose distances to all vectors are held at a time.
_BLOCK_ROWS = 64


@dataclass(frozen=True)
class SearchSet:
    """Vectors float32: ``learn`` ``[L, D]`` to fit to, ``base`` ``[N, D]`` to find, ``query`` ``[Q, D]``.

    ``nearest`` ``[Q]`` is the exact nearest neighbour of each query in the base, by squared distance.
    """

    learn: Tensor
    base: Tensor
    query: Tensor
    nearest: Tensor


def read_vecs(path: Path) -> NDArray[np.generic]:
    """Read a file of vectors ``[N, D]``: each is its dimension as 32-bit integer, then its numbers.

    Raises:
        CodecError: the name ends otherwise, or the file is missing, empty or cut off.
    """
    if path.suffix not in _NUMBERS:
        raise CodecError(f"{path} must end with one of {', '.join(_NUMBERS)}")
    numbers = _NUMBERS[path.suffix]
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise CodecError(f"cannot read {path}: {error}") from error
    dim = int(raw[:4].view("<i4")[0]) if len(raw) >= 4 else 0
    width = 4 + dim * numbers.itemsize
    if dim < 1 or len(raw) % width or (raw.reshape(-1, width)[:, :4] != raw[:4]).any():
        raise CodecError(f"{path} does not hold vectors of one dimension: is it whole?")
    return np.ascontiguousarray(raw.reshape(-1, width)[:, 4:]).view(numbers)


def read_search_set(folder: Path) -> SearchSet:
    """Read the four parts of a set such as SIFT1M.

    They are the files whose names end with learn, base and query (fvecs or bvecs) and groundtruth (ivecs).

    Raises:
        CodecError: a part is missing, is there twice, or does not fit the others.
    """
    learn, base, query = (
        torch.from_numpy(read_vecs(_find(folder, part, (".fvecs", ".bvecs"))).astype(np.float32))
        for part in ("learn", "base", "query")
    )
    path = _find(folder, "groundtruth", (".ivecs",))
    nearest = torch.from_numpy(read_vecs(path)[:, 0].astype(np.int64))
    if not learn.shape[1] == base.shape[1] == query.shape[1]:
        raise CodecError(f"the vectors in {folder} have different dimensions")
    if len(nearest) != len(query) or int(nearest.min()) < 0 or int(nearest.max()) >= len(base):
        raise CodecError(f"{path} does not tell the neighbours of these queries in this base")
    return SearchSet(learn, base, query, nearest)


def _find(folder: Path, part: str, suffixes: tuple[str, ...]) -> Path:
    found = [path for suffix in suffixes for path in sorted(folder.glob(f"*{part}{suffix}"))]
    if len(found) != 1:
        names = " or ".join(f"*{part}{suffix}" for suffix in suffixes)
        raise CodecError(f"{folder} must hold one file {names}, and holds {len(found)}")
    return found[0]


def make_search_set(learn: int, base: int, query: int, dim: int, seed: int) -> SearchSet:
    """Normal vectors around a hundred centres, to try a search without any data."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3.0 * torch.randn(100, dim, generator=generator)
    parts = []
    for count in (learn, base, query):
        near = centres[torch.randint(len(centres), (count,), generator=generator)]
        parts.append(near + torch.randn(count, dim, generator=generator))
    nearest = torch.cdist(parts[2], parts[1], compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
    return SearchSet(*parts, nearest)


def ranks_of_nearest(decoded: Tensor, query: Tensor, nearest: Tensor) -> Tensor:
    """How many decoded vectors come before that of the true neighbour, ``[Q]``, in a search of all of them.

    Those at one distance come in the order of their indices. Recall@T is the share of ranks below T.

    Args:
        decoded: what the codes of the base decode to ``[N, D]``; queries are not coded.
        query: ``[Q, D]``.
        nearest: index of the true neighbour of each query ``[Q]``.
    """
    half_norms = decoded.square().sum(dim=1) / 2
    before = torch.arange(len(decoded)).unsqueeze(0)
    ranks = []
    for some, true in zip(query.split(_BLOCK_ROWS), nearest.split(_BLOCK_ROWS), strict=True):
        distance = torch.addmm(half_norms, some, decoded.t(), alpha=-1.0)
        own = distance.gather(1, true.unsqueeze(1))
        ahead = (distance < own) | ((distance == own) & (before < true.unsqueeze(1)))
        ranks.append(ahead.sum(dim=1))
    return torch.cat(ranks)
