"""The bitstream: code packing, and a container of independent, checksummed blocks (docs/bitstream.md)."""

from __future__ import annotations

from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.events import BlockDamaged, BlockRead, Event, HeaderRead, StreamEnd
from codec.bitstream.header import FORMAT_VERSION, StreamHeader
from codec.bitstream.packet import CodePacking, Codes, FrameCoder, bits_per_code

__all__ = [
    "FORMAT_VERSION",
    "BlockDamaged",
    "BlockRead",
    "CodePacking",
    "Codes",
    "ContainerReader",
    "ContainerWriter",
    "Event",
    "FrameCoder",
    "HeaderRead",
    "StreamEnd",
    "StreamHeader",
    "bits_per_code",
]
