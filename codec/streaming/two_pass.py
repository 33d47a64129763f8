"""Audio to bytes in two passes: the whole sound is known before its first block is coded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codec.engine import Engine
from codec.model import CodecModel
from codec.pcm import Samples
from codec.streaming.appraisal import Appraised
from codec.streaming.block_store import BlockStore
from codec.streaming.latents import LatentStream
from codec.streaming.making import make_appraiser, make_planned
from codec.streaming.output import StreamOutput
from codec.streaming.setup import describe, frames_of_block
from codec.streaming.target import make_target


class TwoPassEncoder(StreamOutput):
    """Encodes one sound into a container at a bitrate on average, its bits placed over all of the sound.

    The first pass takes the audio and keeps its latents, about 40 kB for a second of a channel: on disk, in
    the folder for temporary files, where a sound is long. The second codes them. No audio is kept. Unlike a
    `StreamEncoder` it cannot be copied, nor does its target change.

    Args:
        model: the codec.
        sample_rate: see `codec.streaming.StreamEncoder`; this and the following.
        channels: of the audio.
        bitrate: kbit/s over all channels that all bytes take on average.
        packet_ms: length of a block.
        max_bitrate: kbit/s over all channels that no block exceeds.
        tags: pairs of key and value.

    Raises:
        UsageError: a value is out of range.
    """

    def __init__(
        self,
        model: CodecModel,
        sample_rate: int,
        channels: int = 1,
        bitrate: float | None = None,
        packet_ms: float = 2000,
        max_bitrate: float | None = None,
        tags: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        engine = Engine(model)
        engine.check_rows()
        target = make_target(model, channels, "abr", bitrate, max_bitrate=max_bitrate)
        block_frames = frames_of_block(model, channels, target.num_codebooks, packet_ms)
        header = describe(model, sample_rate, channels, target.num_codebooks, block_frames, "abr")
        super().__init__(header, "container", tuple(tags or ()))
        self._control, self._coder = make_planned(engine, header, target, self._overhead)
        self._bitrate = target.value
        self._latents = LatentStream(engine, sample_rate, channels)
        self._appraiser = make_appraiser(engine, header, "container")
        self._store = BlockStore(engine.device)

    def push(self, pcm: Samples) -> list[bytes]:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return the header at the first call.

        Raises:
            CodecError: as `StreamEncoder.push`, or the disk is full.
            UsageError: as `StreamEncoder.push`.
        """
        self._keep(self._appraiser.push(self._latents.push(pcm)))
        return self._write([])

    def flush(self) -> Iterator[bytes]:
        """End the sound: all blocks, coded as they are asked for, and the footer.

        Raises:
            CodecError: the disk is full.
        """
        self._keep(self._appraiser.push(self._latents.flush()))
        self._keep(self._appraiser.flush())
        samples = self._latents.samples
        total_bits = 1000.0 * self._bitrate * samples / self.header.sample_rate
        self._control.begin(total_bits - self._overhead.fixed)
        yield from self._write([])
        for number, block in enumerate(self._store.take(), 1):
            yield from self._write([self._coder.code(block, final=number == len(self._store))])
        yield from self._finish(samples)

    def _keep(self, blocks: list[Appraised]) -> None:
        for block in blocks:
            self._control.add(block.window)
            self._store.add(block)
