"""What a container reader tells, in the order of the stream."""

from __future__ import annotations

from dataclasses import dataclass

from codec.bitstream.header import StreamHeader
from codec.bitstream.packet import Codes


@dataclass(frozen=True)
class HeaderRead:
    """The header arrived whole; always the first event.

    Attributes:
        header: what it says.
    """

    header: StreamHeader


@dataclass(frozen=True, eq=False)
class BlockRead:
    """A block arrived whole and its checksum holds.

    Attributes:
        index: of the block in the stream, from 0.
        codes: int64 [C, M, F].
    """

    index: int
    codes: Codes


@dataclass(frozen=True)
class BlockDamaged:
    """A run of blocks that cannot be read.

    Attributes:
        index: of the first of them in the stream, from 0.
        frames: what they stood for in all; 0 where only bytes that belong to no block were passed over.
        reason: a clause for a report.
        blocks: how many they are.
    """

    index: int
    frames: int
    reason: str
    blocks: int


@dataclass(frozen=True)
class StreamEnd:
    """The stream is over; always the last event.

    Attributes:
        num_samples: exact length of a channel at the user's sample rate, or None where no footer tells it.
        reason: a clause that says what is wrong with the end, or None.
    """

    num_samples: int | None
    reason: str | None


Event = HeaderRead | BlockRead | BlockDamaged | StreamEnd
