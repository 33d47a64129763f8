"""The order of segments: the same for any number of workers, split over ranks, resumed by one number."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from codec.training.augment import AugmentConfig
from codec.training.segments import SegmentBatch, SegmentDataset
from codec.training.stream import SegmentStream
from tests.training.sounds import load, write_folder


@pytest.fixture
def dataset(tmp_path: Path) -> SegmentDataset:
    return SegmentDataset(load(write_folder(tmp_path)), 2000, seed=5, augment=AugmentConfig())


def _inputs(stream: SegmentStream, steps: int, workers: int = 0) -> torch.Tensor:
    """Inputs of the first steps, [steps, B, T]."""
    loader: DataLoader[SegmentBatch] = DataLoader(stream, batch_size=None, num_workers=workers)
    return torch.stack([batch.input for batch in islice(loader, steps)])


def test_batches_hold_the_segments_in_order(dataset: SegmentDataset) -> None:
    batches = _inputs(SegmentStream(dataset, batch_size=4), 3)
    assert batches.shape == (3, 4, 2000)
    expected = np.stack([dataset[index][0] for index in range(12)])
    assert np.array_equal(batches.reshape(12, 2000).numpy(), expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_order(dataset: SegmentDataset, workers: int) -> None:
    stream = SegmentStream(dataset, batch_size=2, start=10)
    assert torch.equal(_inputs(stream, 7), _inputs(stream, 7, workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_goes_on_where_it_was(dataset: SegmentDataset, workers: int) -> None:
    whole = _inputs(SegmentStream(dataset, batch_size=3), 8, workers)
    rest = _inputs(SegmentStream(dataset, batch_size=3, start=5 * 3), 3, workers)
    assert torch.equal(whole[5:], rest)


def test_ranks_share_the_order_of_one_process(dataset: SegmentDataset) -> None:
    alone = _inputs(SegmentStream(dataset, batch_size=6, start=12), 4)
    ranks = [_inputs(SegmentStream(dataset, 2, 12, rank, world_size=3), 4) for rank in range(3)]
    assert torch.equal(torch.cat(ranks, dim=1), alone)
    segments = alone.reshape(24, 2000)
    assert len(torch.unique(segments, dim=0)) == 24
