"""Audio to bytes, piece by piece. Files go through here too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.pcm import Samples
from codec.rate import check_bitrate, check_quality, codebooks_for_bitrate
from codec.streaming.latents import LatentStream
from codec.streaming.making import frame_bits, make_blocks
from codec.streaming.output import StreamOutput
from codec.streaming.setup import Framing, describe, frames_of_block
from codec.streaming.target import Mode, make_target

Pcm = Samples


class StreamEncoder(StreamOutput):
    """Encodes one stream of audio; holds all its state, so that one model serves many streams.

    Equal audio and options give equal bytes, however the audio is cut. Direct current is taken out before
    anything is coded. A copy (``copy.deepcopy``) saves a stream: it goes on by itself, and shares the model.

    Args:
        model: the codec.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio, each coded by itself.
        bitrate: kbit/s over all channels; 6 a channel, or all codebooks where they take less, where neither
            it nor ``num_codebooks`` is given. In "cbr" the raw indices fit it; in "abr" it is what all bytes
            take on average.
        packet_ms: length of a block, 20 to 10,000 ms; shorter where its payload could exceed 65,535 bytes.
        framing: "container" for files and pipes; "packets" for networks that lose some: every element that
            ``push`` returns is a packet of its own, and the header comes again each second.
        num_codebooks: codebooks of every frame in "cbr", instead of a bitrate.
        mode: "cbr", one number of codebooks in all frames; "abr", a given rate on average; "vbr", a given
            quality. See docs/rate.md.
        quality: 0 to 10 in "vbr"; 5 by default.
        max_bitrate: kbit/s over all channels that no block exceeds, in "cbr" by its raw indices, else by all
            its bytes. In "cbr" `set_bitrate` can go up to it.
        tags: pairs of key and value that a container carries along.

    Raises:
        UsageError: a value is out of range, or two do not go together.
    """

    def __init__(
        self,
        model: CodecModel,
        sample_rate: int,
        channels: int = 1,
        bitrate: float | None = None,
        packet_ms: float = 2000,
        framing: Framing = "container",
        num_codebooks: int | None = None,
        mode: Mode = "cbr",
        quality: float | None = None,
        max_bitrate: float | None = None,
        tags: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        if framing not in get_args(Framing):
            raise UsageError(f"framing must be one of {', '.join(get_args(Framing))}, not {framing!r}")
        engine = Engine(model)
        engine.check_rows()
        self._target = make_target(model, channels, mode, bitrate, num_codebooks, quality, max_bitrate)
        self._latents = LatentStream(engine, sample_rate, channels)
        most = self._target.num_codebooks
        block_frames = frames_of_block(model, channels, most, packet_ms)
        header = describe(model, sample_rate, channels, most, block_frames, mode)
        super().__init__(header, framing, tuple(tags or ()))
        self._blocks = make_blocks(engine, header, framing, self._target, self._overhead)
        self._engine = engine

    @property
    def model(self) -> CodecModel:
        """The codec."""
        return self._engine.model

    @property
    def latency_ms(self) -> float:
        """From a sound to its bytes, without packing: the gathered hop and the resampler's look-ahead."""
        return 1000 * (self.header.hop / self.header.coded_rate + self._latents.delay)

    def set_bitrate(self, bitrate: float) -> None:
        """Take another target in kbit/s over all channels, in "cbr" or "abr", from the next block on.

        Blocks whose frames have begun keep the old one.

        Raises:
            UsageError: it is out of range, or the mode is another.
        """
        channels, target = self.header.channels, self._target
        if target.mode == "vbr":
            raise UsageError("the mode vbr follows a quality: set that")
        check_bitrate(self.model, bitrate, channels)
        if target.max_bitrate is not None and bitrate > target.max_bitrate:
            raise UsageError(f"the bitrate {bitrate:g} lies above the highest, {target.max_bitrate:g}")
        if target.mode == "abr":
            self._blocks.retarget(frame_bits(self.model, self.header, bitrate, self._overhead))
            return
        count = codebooks_for_bitrate(self.model, bitrate, channels)
        if count > target.num_codebooks:
            raise UsageError(
                f"the stream's header promises at most {target.num_codebooks} codebooks, and {bitrate:g} "
                f"kbit/s are {count}: give the encoder a highest bitrate"
            )
        self._blocks.retarget(count)

    def set_quality(self, quality: float) -> None:
        """Take another quality, in "vbr", from the next block on; see `set_bitrate`.

        Raises:
            UsageError: it is out of range, or the mode is another.
        """
        if self._target.mode != "vbr":
            raise UsageError(f"the mode {self._target.mode} follows a bitrate: set that")
        self._blocks.retarget(check_quality(quality))

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return what it completes.

        The header comes first, then blocks.

        Raises:
            CodecError: the audio holds NaN, infinite or absurd samples.
            UsageError: it is not float32 of that shape.
        """
        return self._write(self._blocks.push(self._latents.push(pcm)))

    def flush(self) -> list[bytes]:
        """End the stream: the blocks that are left, and the footer."""
        output = self._write(self._blocks.push(self._latents.flush()))
        output += self._write(self._blocks.flush())
        return output + self._finish(self._latents.samples)
