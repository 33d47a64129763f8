"""The bitstream: code packing, and a container of independent, checksummed blocks (docs/bitstream.md)."""

from __future__ import annotations

from codec.bitstream.codes import Codes, bits_per_code, codebooks_sent
from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.events import BlockDamaged, BlockRead, Event, HeaderRead, StreamEnd
from codec.bitstream.header import FORMAT_VERSION, StreamHeader
from codec.bitstream.packet import CodePacking, FrameCoder
from codec.bitstream.payload import EntropyCoder, PayloadCoder, max_payload_bytes

__all__ = [
    "FORMAT_VERSION",
    "BlockDamaged",
    "BlockRead",
    "CodePacking",
    "Codes",
    "ContainerReader",
    "ContainerWriter",
    "EntropyCoder",
    "Event",
    "FrameCoder",
    "HeaderRead",
    "PayloadCoder",
    "StreamEnd",
    "StreamHeader",
    "bits_per_code",
    "codebooks_sent",
    "max_payload_bytes",
]
