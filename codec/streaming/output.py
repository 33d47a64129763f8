"""Coded blocks to the bytes of a stream, and what is counted of them."""

from __future__ import annotations

from codec.bitstream.codes import codebooks_sent
from codec.bitstream.codes_hash import CodesHash
from codec.bitstream.header import StreamHeader
from codec.bitstream.metadata import Tags
from codec.streaming.blocks import Block
from codec.streaming.overhead import overhead_of, start_writer
from codec.streaming.setup import Framing


class StreamOutput:
    """What all encoders do with their blocks.

    Args:
        header: of the stream.
        framing: see `codec.streaming.StreamEncoder`.
        tags: pairs of key and value.

    Attributes:
        header: of the stream.

    Raises:
        UsageError: the framing carries no tags, or not these.
    """

    def __init__(self, header: StreamHeader, framing: Framing, tags: Tags) -> None:
        self.header = header
        self._overhead = overhead_of(header, framing, tags)
        self._writer, self._start = start_writer(header, framing, tags)
        self._hash = CodesHash()
        self._position = 0
        self._codes_sent = 0
        self._fewest, self._most = header.num_codebooks, 0

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes returned so far."""
        return self._writer.payload_bytes

    @property
    def container_bytes(self) -> int:
        """All other bytes returned so far."""
        return self._writer.container_bytes

    @property
    def raw_index_bits(self) -> int:
        """What the codes returned so far take before entropy coding."""
        return self._codes_sent * self.header.bits_per_code

    @property
    def codebooks_per_frame(self) -> tuple[float, int, int]:
        """Mean, fewest and most codebooks that a frame of a channel has sent so far; zeros before any."""
        frames = self._position * self.header.channels
        return (self._codes_sent / frames, self._fewest, self._most) if frames else (0.0, 0, 0)

    def _write(self, blocks: list[Block]) -> list[bytes]:
        """The bytes of the next blocks, those of the header before the first."""
        output, self._start = self._start, []
        for codes, payload in blocks:
            n = codebooks_sent(codes)
            self._codes_sent += int(n.sum())
            self._fewest, self._most = min(self._fewest, int(n.min())), max(self._most, int(n.max()))
            self._hash.update(codes)
            output += self._writer.block(self._position, payload, codes.shape[2])
            self._position += codes.shape[2]
        return output

    def _finish(self, samples: int) -> list[bytes]:
        """The end of a stream of so many samples a channel, at the user's rate."""
        return self._writer.finish(samples, self._hash.digest())
