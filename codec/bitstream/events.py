"""What a reader tells, in the order of the stream."""

from __future__ import annotations

from dataclasses import dataclass

from codec.bitstream.header import StreamHeader
from codec.bitstream.metadata import Tags


@dataclass(frozen=True)
class HeaderRead:
    """The header is known; always the first event.

    Attributes:
        header: what it says.
    """

    header: StreamHeader


@dataclass(frozen=True)
class MetadataRead:
    """Tags arrived; later ones add to earlier ones. All of a stream take at most 65,535 bytes.

    Attributes:
        tags: pairs of key and value, as they were written: see `printable` before they are shown.
    """

    tags: Tags


@dataclass(frozen=True)
class BlockRead:
    """A block arrived whole and its checksum holds.

    Attributes:
        position: index of its first frame in the stream.
        payload: 1 byte or more; the codes of `header.block_frames` frames, or of fewer in the last block.
    """

    position: int
    payload: bytes


@dataclass(frozen=True)
class Lost:
    """A run of frames that cannot be read, or bytes that belong to no block.

    Attributes:
        position: index of the first of the frames in the stream.
        frames: how many they are; 0 where only bytes were passed over, or where the clock was set anew.
        reason: a clause for a report.
    """

    position: int
    frames: int
    reason: str


@dataclass(frozen=True)
class StreamEnd:
    """The stream is over; always the last event.

    Attributes:
        num_frames: frames of the whole stream, as the footer tells them, or without it up to the end of the
            last whole block.
        num_samples: exact length of a channel at the user's sample rate, or None where nothing tells it.
        codes_hash: 8 bytes, the digest of `CodesHash` over all codes written, or None where nothing tells it.
        reason: a clause that says what is wrong with the end, or None.
    """

    num_frames: int
    num_samples: int | None
    codes_hash: bytes | None
    reason: str | None


Event = HeaderRead | MetadataRead | BlockRead | Lost | StreamEnd
