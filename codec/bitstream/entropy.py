"""The entropy coder of a model: codes to range coded bytes and back, and what codes cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codec.bitstream.codes import Codes, codebooks_sent
from codec.bitstream.lanes import Body, LaneDecoder
from codec.bitstream.prediction import Exact, Predictor
from codec.bitstream.rangecoder import PRECISION_BITS, TOTAL, RangeDecoder, range_encode
from codec.bitstream.stages import StagedTree
from codec.bitstream.tables import EntropyTables, Integers, sizes_of
from codec.errors import CodecError

COST_BITS = 16
"""Costs are counted in 2**-16 bit."""

_MANTISSA_BITS = 30
# Bounds for payloads that are decoded together: what a step holds, and what all of them hold.
_MOST_LANES = 64
_CODES_AT_ONCE = 1 << 20


class EntropyCoder:
    """Codes payloads with the tables of a model; each payload starts anew.

    Attributes:
        tables: the tables.
    """

    def __init__(self, tables: EntropyTables) -> None:
        self.tables = tables
        self.num_codebooks = tables.num_codebooks
        self.codebook_size = tables.codebook_size
        self._predictor = Predictor(tables)
        self._tree = StagedTree(tables)
        self._lanes = LaneDecoder(tables, self._predictor, self._tree)
        self._counts = tables.counts.astype(np.int64)
        self._count_sizes = sizes_of(tables.counts)
        self._flat_counts: list[int] = self._counts.ravel().tolist()
        self._price = _prices()

    def __deepcopy__(self, memo: object) -> EntropyCoder:
        """A copied stream shares it: it holds megabytes, and nothing changes them."""
        return self

    def encode(self, codes: Codes, counts: bool) -> bytes:
        """Returns codes in bytes.

        Args:
            codes: ``[C, M', F]`` with -1 behind the last code that a frame sends.
            counts: whether the frames' numbers of codebooks are told too; if not, all send as many.
        """
        if not counts:
            count = np.count_nonzero(codes[0, :, 0] >= 0)
            starts, sizes = self._predictor.code_intervals(codes[:, :count], previous=None)
            return range_encode(starts.ravel(), sizes.ravel())
        n = codebooks_sent(codes).T
        starts, sizes = self._predictor.code_intervals(codes[:, : int(n.max())], previous=None)
        before = np.full_like(n, self.num_codebooks + 1)
        before[1:] = n[:-1]
        starts = np.concatenate([self._counts[before, n][..., None], starts], axis=2)
        sizes = np.concatenate([self._count_sizes[before, n][..., None], sizes], axis=2)
        sent = np.arange(starts.shape[2]) <= n[..., None]
        return range_encode(starts[sent], sizes[sent])

    def decode(self, data: bytes, shape: tuple[int, int, int], count: int | None) -> Codes:
        """Returns the codes int64 ``[C, M', F]`` of bytes, -1 where not sent.

        Args:
            data: what `encode` returned.
            shape: C, M' and F; no frame has more than M' codebooks, of the M that the tables are for.
            count: codebooks of every frame, or None where the bytes tell them.

        Raises:
            CodecError: no codes lead to these bytes.
        """
        decoder = RangeDecoder(data)
        codes = np.full(shape, -1, np.int64)
        channels, limit, frames = shape
        features = np.zeros((channels, self.tables.features.shape[2]), np.float32)
        before = [self.num_codebooks + 1] * channels
        for frame in range(frames):
            for channel in range(channels):
                n = self._decode_count(decoder, before[channel]) if count is None else count
                if n > limit:
                    raise CodecError(f"a frame of more than the stream's {limit} codebooks")
                before[channel] = n
                found, features[channel] = self._decode_frame(decoder, features[channel], n)
                codes[channel, :n, frame] = found
        decoder.finish()
        return codes

    def decode_all(self, bodies: Sequence[Body], channels: int, limit: int) -> list[Codes | CodecError]:
        """`decode` of many bodies with C channels and up to M' codebooks; what it would raise is returned."""
        parts: list[Codes | None] = []
        lanes = max(1, _CODES_AT_ONCE // max(channels * limit * max(b.frames for b in bodies), 1))
        for at in range(0, len(bodies), min(lanes, _MOST_LANES)):
            parts += self._lanes.decode(bodies[at : at + min(lanes, _MOST_LANES)], channels, limit)
        return [
            self._decode_or_tell(body, channels, limit) if part is None else part
            for body, part in zip(bodies, parts, strict=True)
        ]

    def costs(self, codes: Codes, previous: Codes | None = None) -> Integers:
        """What each code takes, in 2**-16 bit, the same on every machine; 0 where not sent.

        Args:
            codes: ``[C, M', F]``.
            previous: the frame before them ``[C, M]``, or None at the start of a payload.

        Returns:
            ``[C, M', F]``.
        """
        _, sizes = self._predictor.code_intervals(codes, previous)
        # What is not sent has the whole interval, which is free.
        return np.ascontiguousarray(self._price.take(sizes).transpose(1, 2, 0))

    def count_costs(self) -> Integers:
        """What each number of codebooks takes after each one before it, in 2**-16 bit: ``[M + 2, M + 1]``.

        The last row holds at the start of a payload.
        """
        return self._price[self._count_sizes]

    def _decode_or_tell(self, body: Body, channels: int, limit: int) -> Codes | CodecError:
        try:
            return self.decode(body.data, (channels, limit, body.frames), body.count)
        except CodecError as error:
            return error

    def _decode_count(self, decoder: RangeDecoder, before: int) -> int:
        width = self.num_codebooks + 1
        return decoder.decode(self._flat_counts, before * width, (before + 1) * width) - before * width

    def _decode_frame(self, decoder: RangeDecoder, before: Exact, n: int) -> tuple[list[int], Exact]:
        """The n codes of a frame after one with the features ``[d]``, and the frame's own features."""
        earlier = np.zeros_like(before)
        if not n:
            return [], earlier
        bases, found = self._predictor.begin_frames(before[None], n)[:, 0], []
        hidden = np.ones(bases.shape[1] + 1, np.float32)
        for codebook, base in enumerate(bases):
            self._predictor.hidden_of_one(base, codebook, earlier, hidden)
            code, start, size = self._tree.find_one(codebook, hidden, decoder.target())
            decoder.take(start, size)
            found.append(code)
            earlier += self._predictor.features_of_one(codebook, code)
        return found, earlier


def _prices() -> Integers:
    """-log2(size / 2**16) in 2**-16 bit for each size up to 2**16, by squaring in integers; 0 for size 0."""
    sizes = np.arange(1, TOTAL + 1, dtype=np.int64)
    exponent = np.zeros_like(sizes)
    for bit in range(PRECISION_BITS + 1):
        exponent[sizes >> bit > 0] = bit
    mantissa = sizes << (_MANTISSA_BITS - exponent)
    fraction = np.zeros_like(sizes)
    for _ in range(COST_BITS):
        mantissa = mantissa * mantissa >> _MANTISSA_BITS
        carry = mantissa >> (_MANTISSA_BITS + 1)
        mantissa >>= carry
        fraction = fraction << 1 | carry
    prices = (PRECISION_BITS << COST_BITS) - ((exponent << COST_BITS) | fraction)
    return np.concatenate([[0], prices])
