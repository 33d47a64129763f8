"""A smaller bitstream of one that is there: codebooks are dropped from the codes, and no audio is touched."""

from __future__ import annotations

import numpy as np

from codec.bitstream import (
    BlockRead,
    Codes,
    CodesHash,
    ContainerWriter,
    Event,
    Lost,
    MetadataRead,
    StreamEnd,
    StreamHeader,
    Tags,
)
from codec.bitstream.codes import codebooks_sent
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.streaming.setup import check_model, payload_coder


class Transcoder:
    """Keeps the first n codebooks of each frame of one stream; a frame that sends fewer keeps those.

    Takes the events of a reader and returns the bytes of a container. What is lost of the stream is missing
    from it too, so that its decoder conceals the same frames.

    Args:
        model: that the stream names.
        header: of the stream.
        num_codebooks: n, from 1 to what the model has.
        name: what messages call the stream.

    Attributes:
        header: of both streams; how many codebooks a frame sends is a matter of its block.
        tags: of both streams, as far as they came before the first block.
        dropped: codes that were left out so far.
        damage: what of the stream could not be read; frames count as in `Lost`.
        end: the last event, when it was taken.

    Raises:
        UsageError: n is out of range.
        CodecError: the stream is of another model, or of one whose first codebooks are no use alone.
    """

    def __init__(self, model: CodecModel, header: StreamHeader, num_codebooks: int, name: str) -> None:
        check_model(header, model, name)
        if not model.bottleneck.prefix_decodable:
            raise CodecError(
                f"{name} is of the model {header.model_name}, whose codebooks are of use only together: "
                "decode it and encode the sound at the lower bitrate"
            )
        highest = model.bottleneck.num_codebooks
        if not 1 <= num_codebooks <= highest:
            raise UsageError(f"of {name}, 1 to {highest} codebooks can be kept, not {num_codebooks}")
        self.header = header
        self.dropped = 0
        self.tags: Tags = ()
        self.damage: list[Lost] = []
        self.end: StreamEnd | None = None
        self._name = name
        self._keep = num_codebooks
        self._coder = payload_coder(header, model)
        self._limit = model.bottleneck.codebook_size
        self._writer = ContainerWriter(self.header)
        # Of the frames of all channels: how many there are, and of their numbers of codebooks sum and ends.
        self._counted, self._sum, self._least, self._most = 0, 0, num_codebooks, 0
        self._source_hash, self._hash = CodesHash(), CodesHash()
        self._started = False
        self._frames = 0

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
        return self._sum * self.header.bits_per_code

    @property
    def codebooks_per_frame(self) -> tuple[float, int, int]:
        """Mean, fewest and most codebooks that a frame of a channel has kept so far; zeros before any."""
        return (self._sum / self._counted, self._least, self._most) if self._counted else (0.0, 0, 0)

    def take(self, event: Event) -> list[bytes]:
        """Take the next event of the stream and return what it completes.

        Raises:
            CodecError: blocks follow a short one, which has to be the last.
        """
        if isinstance(event, BlockRead):
            return self._block(event)
        if isinstance(event, MetadataRead) and not self._started:
            self.tags += event.tags
        elif isinstance(event, Lost):
            self.damage.append(event)
        elif isinstance(event, StreamEnd):
            return self._finish(event)
        return []

    def _start(self) -> list[bytes]:
        first, self._started = not self._started, True
        return self._writer.start(self.tags) if first else []

    def _block(self, event: BlockRead) -> list[bytes]:
        output = self._start()
        try:
            codes = self._coder.unpack(event.payload)
            self._check(codes)
        except CodecError as error:
            self.damage.append(Lost(event.position, self.header.block_frames, str(error)))
            return output
        self._refuse_short(event.position)
        self._frames = event.position + codes.shape[2]
        kept = codes[:, : self._keep]
        self._count(codebooks_sent(codes))
        self._source_hash.update(codes)
        self._hash.update(kept)
        return output + self._writer.block(event.position, self._coder.pack(kept), codes.shape[2])

    def _count(self, sent: Codes) -> None:
        n = np.minimum(sent, self._keep)
        self.dropped += int((sent - n).sum())
        self._counted += n.size
        self._sum += int(n.sum())
        self._least, self._most = min(self._least, int(n.min())), max(self._most, int(n.max()))

    def _refuse_short(self, position: int) -> None:
        """Check that a stream which goes on to a position did not end before it with a short block."""
        if self._frames % self.header.block_frames and position != self._frames:
            raise CodecError(
                f"{self._name} goes on after a short block, and only its last may be short: decode it instead"
            )

    def _check(self, codes: Codes) -> None:
        highest = int(np.max(codes, initial=-1))
        if highest >= self._limit:
            raise CodecError(f"the code {highest} in codebooks of {self._limit} words")

    def _finish(self, end: StreamEnd) -> list[bytes]:
        """The footer; none where that of the stream is lost, so that its decoder tells so too."""
        self.end = end
        output = self._start()
        whole = not self.damage and end.codes_hash is not None
        if end.reason:
            self.damage.append(Lost(end.num_frames, 0, end.reason))
        elif whole and end.codes_hash != self._source_hash.digest():
            self.damage.append(Lost(end.num_frames, 0, "its codes are not those that were encoded"))
        if end.num_samples is None:
            return output
        self._refuse_short(end.num_frames)
        return output + self._writer.finish(end.num_samples, self._hash.digest(), end.num_frames)
