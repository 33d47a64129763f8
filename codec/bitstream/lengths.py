"""How many frames and samples a stream holds, and what of that can be."""

from __future__ import annotations

from codec.bitstream.header import StreamHeader
from codec.errors import UsageError

HASH_BYTES = 8
# No clock of a reader comes near it, and a footer counts in 64 bits.
_MAX_FRAMES = 1 << 48


def samples_fit(header: StreamHeader, num_frames: int, num_samples: int) -> bool:
    """Whether so many samples can lie in so many frames; a resampler may round, by less than a frame."""
    return num_samples * header.coded_rate < (num_frames + 1) * header.hop * header.sample_rate


class WrittenFrames:
    """Counts what a writer writes, and refuses what no reader could follow.

    Attributes:
        num_frames: from the start of the stream to the end of the last block.
    """

    def __init__(self, header: StreamHeader) -> None:
        self.num_frames = 0
        self._header = header
        self._started = False
        self._closed = False

    def start(self) -> None:
        """Notes that the header is written; raises UsageError if it was before."""
        if self._started:
            raise UsageError("a stream has one header, and it is written already")
        self._started = True

    def add(self, position: int, payload: bytes, frames: int) -> None:
        """Notes a block.

        Raises:
            UsageError: a value is out of range, the block lies before the last one's end, or follows a short
                one or the end.
        """
        self._check_open()
        length = self._header.block_frames
        if self.num_frames % length:
            raise UsageError(f"only the last block may have fewer than {length} frames")
        if position % length or not self.num_frames <= position < _MAX_FRAMES:
            due = self.num_frames
            raise UsageError(f"a block must start at a multiple of {length} from {due} on, not at {position}")
        if not 1 <= frames <= length:
            raise UsageError(f"a block must hold 1 to {length} frames, not {frames}")
        if not 1 <= len(payload) <= self._header.max_payload_bytes:
            limit = self._header.max_payload_bytes
            raise UsageError(f"a payload must take 1 to {limit} bytes, not {len(payload)}")
        self.num_frames = position + frames

    def finish(self, num_samples: int, codes_hash: bytes, num_frames: int | None) -> int:
        """Notes the end and returns the number of frames, which is `num_frames` where it is given.

        Raises:
            UsageError: the blocks go on beyond the end, the frames cannot hold so many samples, the hash has
                another size, or the order is wrong.
        """
        self._check_open()
        written = self.num_frames
        total = written if num_frames is None else num_frames
        full = written % self._header.block_frames == 0
        if total != written and not (full and written < total < _MAX_FRAMES):
            raise UsageError(f"the blocks hold {written} frames, and the stream cannot have {total}")
        if num_samples < 0 or not samples_fit(self._header, total, num_samples):
            raise UsageError(f"{total} frames cannot hold {num_samples} samples")
        if len(codes_hash) != HASH_BYTES:
            raise UsageError(f"the hash of the codes must be {HASH_BYTES} bytes, not {len(codes_hash)}")
        self._closed = True
        return total

    def _check_open(self) -> None:
        if not self._started or self._closed:
            raise UsageError("blocks and footer follow the header, and nothing follows the footer")
