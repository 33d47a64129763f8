"""What stands before the first block of a bitstream: the header, from its copy if need be, and the tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, cast

from codec.bitstream import ContainerReader, HeaderRead, MetadataRead, SeekableStream, StreamHeader, Tags
from codec.cli.streams import Input

REPAIRED = ": its header is damaged, and was read from the copy in its footer"

_READ_BYTES = 64
# Header and metadata are no longer than this; where only damage comes, the sound need not wait for tags.
_LONGEST_BYTES = 1 << 17


@dataclass(frozen=True)
class Opening:
    """The start of a bitstream.

    Attributes:
        header: what the header says.
        repaired: the header is damaged, and this is its copy from the footer.
        tags: what was told before the first block.
        data: the bytes that were read.
    """

    header: StreamHeader
    repaired: bool
    tags: Tags
    data: bytes

    @property
    def known_header(self) -> StreamHeader | None:
        """What readers must be told because they could not read it themselves."""
        return self.header if self.repaired else None


def read_opening(stream: Input) -> Opening:
    """Read the header and the tags, and no further than that takes; of a live input, what has come.

    Raises:
        CodecError: this is no bitstream, or one of a newer version; or its header is damaged, and it is a
            pipe or has no copy of the header.
    """
    header = None
    if stream.seekable():
        found = SeekableStream(cast(BinaryIO, stream), stream.name)
        stream.seek(0)
        header = found.header if found.repaired else None
    reader, data, tags = ContainerReader(stream.name, header), b"", None
    while tags is None and (reader.header is None or len(data) < _LONGEST_BYTES):
        part = stream.read(_READ_BYTES)
        for event in reader.push(part) if part else reader.finish():
            if not isinstance(event, HeaderRead) and tags is None:
                tags = event.tags if isinstance(event, MetadataRead) else ()
        if not part:
            break
        data += part
    assert reader.header is not None  # finish() refuses a stream without one
    return Opening(reader.header, header is not None, tags or (), data)
