"""The bitstream: payloads of codes, a container of independent, checksummed blocks, and live packets."""

from __future__ import annotations

from codec.bitstream.codes import Codes, bits_per_code
from codec.bitstream.codes_hash import CodesHash
from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.events import BlockRead, Event, HeaderRead, Lost, MetadataRead, StreamEnd
from codec.bitstream.header import FORMAT_VERSION, StreamHeader, max_block_frames
from codec.bitstream.metadata import Tags, printable
from codec.bitstream.packets import PacketReader, PacketWriter
from codec.bitstream.payload import PayloadCoder
from codec.bitstream.seeking import SeekableStream
from codec.bitstream.tables import EntropyTables

__all__ = [
    "FORMAT_VERSION",
    "BlockRead",
    "Codes",
    "CodesHash",
    "ContainerReader",
    "ContainerWriter",
    "EntropyCoder",
    "EntropyTables",
    "Event",
    "HeaderRead",
    "Lost",
    "MetadataRead",
    "PacketReader",
    "PacketWriter",
    "PayloadCoder",
    "SeekableStream",
    "StreamEnd",
    "StreamHeader",
    "Tags",
    "bits_per_code",
    "max_block_frames",
    "printable",
]
