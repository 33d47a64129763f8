"""What a stream takes beside the payloads of its blocks."""

from __future__ import annotations

from dataclasses import dataclass

from codec.bitstream.container import ContainerWriter
from codec.bitstream.header import StreamHeader
from codec.bitstream.metadata import Tags
from codec.bitstream.packets import PacketWriter
from codec.errors import UsageError
from codec.streaming.setup import Framing


@dataclass(frozen=True)
class Overhead:
    """Bits.

    Attributes:
        fixed: of the header, the tags and the footer, or the end packet.
        block: of each block beside its payload.
        frame: of set-up packets that come again, spread over all frames.
    """

    fixed: int
    block: int
    frame: float


def start_writer(
    header: StreamHeader, framing: Framing, tags: Tags
) -> tuple[ContainerWriter | PacketWriter, list[bytes]]:
    """A writer of the stream, and the first that it writes.

    Raises:
        UsageError: there are tags and no container, or tags that no container takes.
    """
    if framing == "packets":
        if tags:
            raise UsageError("packets carry no tags: leave them out, or take a container")
        packets = PacketWriter(header)
        return packets, packets.start()
    container = ContainerWriter(header)
    return container, container.start(tags)


def overhead_of(header: StreamHeader, framing: Framing, tags: Tags) -> Overhead:
    """The overhead of a stream, found by writing an empty one."""
    writer, parts = start_writer(header, framing, tags)
    block = sum(map(len, writer.block(0, b"\0", 1))) - 1
    ends = writer.finish(0, bytes(8))
    again = len(header.to_bytes()) * header.hop / header.coded_rate if framing == "packets" else 0.0
    return Overhead(8 * sum(map(len, parts + ends)), 8 * block, 8 * again)
