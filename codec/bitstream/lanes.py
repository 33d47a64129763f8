"""Entropy decoding of many payloads side by side.

Payloads do not depend on each other, so that one step in numpy decodes a symbol of each. A step takes little
longer for thirty payloads than for one: most of that is the time of calling numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.codes import Codes
from codec.bitstream.prediction import Predictor
from codec.bitstream.rangecoder import TOTAL, RangeLanes
from codec.bitstream.stages import StagedTree
from codec.bitstream.tables import EntropyTables, Integers

# One payload after the other, fewer than these take less time.
_FEWEST_LANES = 9


@dataclass(frozen=True)
class Body:
    """An entropy coded body, the frames in it, and the codebooks of each, or None where the bytes tell."""

    data: bytes
    frames: int
    count: int | None


class LaneDecoder:
    """Decodes the bodies of many payloads of a stream.

    Args:
        tables: of the model.
        predictor: of these tables.
        tree: of these tables.
    """

    def __init__(self, tables: EntropyTables, predictor: Predictor, tree: StagedTree) -> None:
        self._predictor, self._tree = predictor, tree
        self._width = tables.features.shape[2]
        ends = np.full((len(tables.counts), 1), TOTAL)
        self._counts = np.concatenate([tables.counts.astype(np.int64), ends], axis=1)

    def decode(self, bodies: Sequence[Body], channels: int, limit: int) -> list[Codes | None]:
        """The codes int64 ``[C, M', F]`` of each body, -1 where not sent.

        None stands for a body that is left to be decoded by itself: that takes less time, or has to tell what
        is wrong with it, in the same words for every way of cutting a stream.

        Args:
            bodies: with counts of at most ``limit`` where they have one.
            channels: C.
            limit: M'; a body that tells more codebooks is damaged.
        """
        if len(bodies) < _FEWEST_LANES:
            return [None] * len(bodies)
        frames = [body.frames for body in bodies]
        codes = np.full((len(bodies), max(frames), channels, limit), -1, np.int64)
        lanes = _Lanes(bodies, channels, self._width, len(self._counts) - 1)
        for frame in range(max(frames) + 1):
            lanes.finish(frame)
            if len(lanes.ids) < _FEWEST_LANES:
                break
            for channel in range(channels):
                self._decode_counts(lanes, channel, limit)
                found = self._decode_frame(lanes, channel)
                codes[lanes.ids, frame, channel, : found.shape[1]] = found
                lanes.drop(lanes.ranges.damaged())
        left = lanes.damaged.union(lanes.ids.tolist())
        return [
            None if at in left else codes[at, : frames[at]].transpose(1, 2, 0).copy()
            for at in range(len(bodies))
        ]

    def _decode_counts(self, lanes: _Lanes, channel: int, limit: int) -> None:
        """Set the number of codebooks of the next frame where the bytes tell it."""
        told = lanes.told.nonzero()[0]
        if not len(told):
            return
        ranges, rows = lanes.ranges.select(told), self._counts[lanes.before[channel, told]]
        n = (rows[:, 1:-1] <= ranges.targets()[:, None]).sum(axis=1)
        at = np.arange(len(n))
        ranges.take(rows[at, n], rows[at, n + 1] - rows[at, n])
        lanes.ranges.put(told, ranges)
        lanes.n[told] = lanes.before[channel, told] = n
        lanes.drop(lanes.n > limit)

    def _decode_frame(self, lanes: _Lanes, channel: int) -> Codes:
        """The codes ``[L, n]`` of the next frame, of all lanes, which it puts in the order of falling n."""
        lanes.sort()
        most = int(lanes.n.max(initial=0))
        found = np.full((len(lanes.n), most), -1, np.int64)
        features = np.zeros_like(lanes.features[channel])
        base = self._predictor.begin_frames(lanes.features[channel], most)
        # Lanes that send a codebook come first.
        active = np.searchsorted(-lanes.n, -np.arange(most)).tolist()
        for codebook, count in enumerate(active):
            ranges, earlier = lanes.ranges.select(slice(count)), features[:count]
            hidden = self._predictor.hidden(base[codebook, :count], codebook, earlier)
            code, start, size = self._tree.find(codebook, hidden, ranges.targets())
            ranges.take(start, size)
            found[:count, codebook] = code
            earlier += self._predictor.features(codebook, code)
        lanes.features[channel] = features
        return found


class _Lanes:
    """The L payloads that are not yet decoded.

    Attributes:
        ids: which payloads, ``[L]``.
        ranges: their bytes.
        n: codebooks of the frame at hand ``[L]``.
        told: whether the bytes tell them, ``[L]``.
        before: the numbers of the last frame ``[C, L]``.
        features: of the last frame ``[C, L, d]``.
        damaged: payloads that no codes lead to, as far as is known.
    """

    def __init__(self, bodies: Sequence[Body], channels: int, width: int, no_frame: int) -> None:
        self._frames = np.array([body.frames for body in bodies])
        self.ids = np.arange(len(bodies))
        self.ranges = RangeLanes([body.data for body in bodies])
        self.n = np.array([body.count or 0 for body in bodies])
        self.told = np.array([body.count is None for body in bodies])
        self.before = np.full((channels, len(bodies)), no_frame)
        self.features = np.zeros((channels, len(bodies), width), np.float32)
        self.damaged: set[int] = set()

    def drop(self, bad: NDArray[np.bool_]) -> None:
        """Give payloads ``[L]`` up."""
        if bad.any():
            self.damaged.update(self.ids[bad].tolist())
            self._select(~bad)

    def finish(self, frame: int) -> None:
        """Take the payloads out that end before a frame."""
        done = self._frames[self.ids] <= frame
        if done.any():
            self.drop(done & self.ranges.surplus())
            self._select(self._frames[self.ids] > frame)

    def sort(self) -> None:
        """Order the payloads by falling numbers of codebooks."""
        if (self.n[1:] > self.n[:-1]).any():
            self._select(np.argsort(-self.n, kind="stable"))

    def _select(self, lanes: Integers | NDArray[np.bool_]) -> None:
        self.ids, self.n, self.told = self.ids[lanes], self.n[lanes], self.told[lanes]
        self.ranges = self.ranges.select(lanes)
        self.before, self.features = self.before[:, lanes], self.features[:, lanes]
