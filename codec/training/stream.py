"""The endless order in which ranks and loader workers take training segments."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import IterableDataset, get_worker_info

from codec.training.segments import SegmentBatch, Segments


class SegmentStream(IterableDataset[SegmentBatch]):
    """The endless sequence of batches of one rank, for `DataLoader(stream, batch_size=None)`.

    Step s of rank r holds `batch_size` segments from `start + (s * world_size + r) * batch_size` on, whatever
    the number of loader workers: the ranks together see what one process with batches of
    `world_size * batch_size` sees. start: in segments over all ranks; it is all that an exact resume needs.
    """

    def __init__(
        self, dataset: Segments, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[SegmentBatch]:
        worker = get_worker_info()
        # A loader takes batches from its workers in turn, so worker w of n makes steps w, w + n, ...
        step, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        while True:
            turn = step * self.world_size + self.rank
            yield self.dataset.batch(self.start + turn * self.batch_size, self.batch_size)
            step += stride
