"""Streams: audio to bytes and bytes to audio, piece by piece. Files go through here too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.events import BlockDamaged, BlockRead, Event, StreamEnd
from codec.bitstream.header import MAGIC, StreamHeader
from codec.checkpoint import model_id
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Samples, as_frames
from codec.playback import Damage, Playback, as_codes
from codec.rate import ConstantRate, codebook_bitrate, codebooks_for_bitrate
from codec.resample import Resampler

Pcm = Samples
Framing = Literal["container", "packets"]

DEFAULT_BITRATE = 6.0
_PACKET_MS = (20, 10_000)


class StreamEncoder:
    """Encodes one stream of audio; holds all its state, so that one model serves many streams.

    Args:
        model: the codec.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio, each coded by itself.
        bitrate: kbit/s over all channels; 6 a channel, or all codebooks where they take less, where neither
            it nor ``num_codebooks`` is given.
        packet_ms: length of a block, 20 to 10,000 ms.
        framing: "container" for files and pipes; "packets" for networks that lose some: every element that
            ``push`` returns is a packet of its own, and the header comes again each second.
        num_codebooks: codebooks of every frame, instead of a bitrate.

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
        framing: Framing = "container",
        num_codebooks: int | None = None,
    ) -> None:
        self._engine = Engine(model)
        self._engine.check_rows()
        self._rate = ConstantRate(_choose_codebooks(model, channels, bitrate, num_codebooks))
        if not _PACKET_MS[0] <= packet_ms <= _PACKET_MS[1]:
            raise UsageError(f"a block must last {_PACKET_MS[0]} to {_PACKET_MS[1]} ms, not {packet_ms:g}")
        if framing not in get_args(Framing):
            raise UsageError(f"framing must be one of {', '.join(get_args(Framing))}, not {framing!r}")
        self._resampler = Resampler(sample_rate, model.config.sample_rate, channels)
        block_frames = max(1, round(packet_ms / 1000 * model.frame_rate))
        self.header = _describe(model, sample_rate, channels, self._rate.num_codebooks, block_frames)
        self._frames_a_header = round(model.frame_rate) if framing == "packets" else None
        self._frames_since_header = 0
        self._repeated_bytes = 0
        self._writer = ContainerWriter(self.header)
        self._states = [self._engine.start_encoder() for _ in range(channels)]
        self._pending = np.zeros((0, channels), np.float32)
        self._codes = torch.zeros(channels, self._rate.num_codebooks, 0, dtype=torch.int64)
        self._started = False
        self._samples_in = 0
        self._samples_coded = 0

    @property
    def model(self) -> CodecModel:
        """The codec."""
        return self._engine.model

    @property
    def latency_ms(self) -> float:
        """From a sound to its bytes, without packing: the gathered hop and the resampler's look-ahead."""
        return 1000 * (self.header.hop / self.header.coded_rate + self._resampler.delay)

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes returned so far."""
        return self._writer.payload_bytes

    @property
    def container_bytes(self) -> int:
        """All other bytes returned so far."""
        return self._writer.container_bytes + self._repeated_bytes

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return what it completes.

        The header comes first, then blocks.

        Raises:
            CodecError: the audio holds NaN, infinite or absurd samples.
            UsageError: it is not float32 of that shape.
        """
        pcm = as_frames(pcm, self.header.channels)
        self._samples_in += len(pcm)
        output = self._begin()
        self._encode(self._resampler.push(pcm))
        return output + self._complete_blocks()

    def flush(self) -> list[bytes]:
        """End the stream: the blocks that are left, and the footer."""
        output = self._begin()
        self._encode(self._resampler.flush())
        frames = self.model.num_frames(self._samples_coded + len(self._pending))
        coded = self._samples_coded // self.model.config.hop
        padding = (frames - coded) * self.model.config.hop - len(self._pending)
        self._encode(np.zeros((padding, self.header.channels), np.float32))
        output += self._complete_blocks()
        if self._codes.shape[2]:
            output.append(self._writer.block(self._codes.numpy()))
        output.append(self._writer.finish(self._samples_in))
        return output

    def _begin(self) -> list[bytes]:
        if self._started:
            return []
        self._started = True
        return [self._writer.start()]

    def _encode(self, audio: Pcm) -> None:
        """Code all whole hops of pending and new audio ``[n, C]`` at the model's rate."""
        hop = self.model.config.hop
        pending = np.concatenate([self._pending, audio])
        whole = len(pending) // hop * hop
        self._pending = pending[whole:].copy()
        if not whole:
            return
        self._samples_coded += whole
        bits = 8 * self._writer.payload_bytes
        coded = []
        for channel in range(self.header.channels):
            samples = torch.from_numpy(np.ascontiguousarray(pending[:whole, channel]))
            z, self._states[channel] = self._engine.latents(samples, self._states[channel])
            n = self._rate.choose(z, samples.view(-1, hop).square().mean(dim=1), bits)
            coded.append(self._engine.search(z, n).cpu())
        self._codes = torch.cat([self._codes, torch.stack(coded)[:, : self._rate.num_codebooks]], dim=2)

    def _complete_blocks(self) -> list[bytes]:
        size, output = self.header.block_frames, []
        whole = self._codes.shape[2] // size * size
        for start in range(0, whole, size):
            output += self._repeat_header(size)
            output.append(self._writer.block(self._codes[:, :, start : start + size].numpy()))
        self._codes = self._codes[:, :, whole:].clone()
        return output

    def _repeat_header(self, frames: int) -> list[bytes]:
        """The set-up packet again, where a second has passed since it was sent."""
        due = self._frames_a_header is not None and self._frames_since_header >= self._frames_a_header
        self._frames_since_header = frames + (0 if due else self._frames_since_header)
        if not due:
            return []
        header = self.header.to_bytes()
        self._repeated_bytes += len(header)
        return [header]


class StreamDecoder:
    """Decodes one stream of bytes; holds all its state, so that one model serves many streams.

    From a container, audio is held back by a frame, since only the footer tells where the last frame ends.

    Args:
        model: the codec that the stream names.
        framing: as the encoder's. With "packets" every ``push`` takes one packet; a gap that the next shows
            is concealed by itself, one that the caller knows of earlier by ``lost``.
        name: what messages call the stream, for example its file name.
    """

    def __init__(self, model: CodecModel, framing: Framing = "container", name: str = "the stream") -> None:
        self.damage: list[Damage] = []
        self._name = name
        self._packets = framing == "packets"
        self._engine = Engine(model)
        self._engine.check_rows()
        self._reader = ContainerReader(name)
        self._playback: Playback | None = None
        self._joined = False
        self._concealed_ahead = 0

    @property
    def model(self) -> CodecModel:
        """The codec."""
        return self._engine.model

    @property
    def header(self) -> StreamHeader | None:
        """What the header says, or None before it arrived."""
        return self._reader.header

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes read so far."""
        return self._reader.payload_bytes

    @property
    def container_bytes(self) -> int:
        """Bytes of header, footer and block overhead read so far."""
        return self._reader.container_bytes

    def push(self, data: bytes) -> Pcm:
        """Take the next bytes and return the audio ``[n, C]`` that they complete, at the stream's own rate.

        Before the header has arrived that is nothing, ``[0, 1]``.

        Raises:
            CodecError: this is no stream of the codec, its header is damaged, or it needs another model.
        """
        return self._join(self.pieces(data))

    def flush(self) -> Pcm:
        """End the stream and return the audio that is left.

        Raises:
            CodecError: the stream ended before its header was whole.
        """
        return self._join(self.last_pieces())

    def pieces(self, data: bytes) -> Iterator[Pcm]:
        """As ``push``, piece by piece as it is iterated: a long gap in the stream then takes no memory."""
        if self._packets and data.startswith(MAGIC) == (self.header is not None):
            return  # the header again, or a block before the first header
        try:
            events = self._reader.push(data)
        except CodecError:
            # A damaged header among packets: the next one may be whole.
            self._reader = ContainerReader(self._name) if self._packets else self._reader
            raise
        yield from self._play(events)

    def last_pieces(self) -> Iterator[Pcm]:
        """As ``flush``, piece by piece."""
        if self.header is None and self._playback is not None:
            return  # codes were played, and no stream was pushed
        yield from self._play(self._reader.finish())

    def push_codes(self, codes: NDArray[np.int64]) -> Pcm:
        """Play codes ``[M, F]``, or ``[C, M, F]`` with C the same each time: audio ``[n, C]``.

        Without a stream's header the audio has the model's rate; -1 stands for a codebook that was not sent.

        Raises:
            CodecError: a code is out of range.
            UsageError: these are no codes of that shape.
        """
        tensor = as_codes(codes)
        if self._playback is None:
            header = _describe(self.model, self.model.config.sample_rate, tensor.shape[0], tensor.shape[1], 1)
            self._playback = Playback(self._engine, header, hold=False)
        if tensor.shape[0] != self._playback.channels:
            raise UsageError(f"codes must have {self._playback.channels} channel(s), not {tensor.shape[0]}")
        return self._join(self._playback.decode(tensor))

    def lost(self, frames: int) -> Pcm:
        """Conceal the next ``frames`` frames, which the caller knows to be lost, and return audio ``[n, C]``.

        Raises:
            UsageError: nothing tells yet what is played, since no header and no codes came before, or
                ``frames`` is not positive.
        """
        if self._playback is None:
            raise UsageError("frames can be lost only after the header, or after codes")
        if frames < 1:
            raise UsageError(f"a gap must be of at least one frame, not {frames}")
        self._concealed_ahead += frames
        self.damage.append(self._playback.span(frames, "lost"))
        return self._join(self._playback.conceal(frames))

    def _join(self, pieces: Iterator[Pcm]) -> Pcm:
        parts = list(pieces)
        channels = self._playback.channels if self._playback else 1
        return np.concatenate([np.zeros((0, channels), np.float32), *parts])

    def _play(self, events: list[Event]) -> Iterator[Pcm]:
        for event in events:
            playback = self._open()
            if isinstance(event, BlockRead):
                self._joined = True
                # Frames that were given up as lost have been played already, should they come after all.
                late = self._played_ahead(event.codes.shape[2])
                yield from playback.decode(torch.from_numpy(event.codes[:, :, late:]))
            elif isinstance(event, BlockDamaged):
                yield from self._conceal(event, playback)
            elif isinstance(event, StreamEnd):
                if event.reason:
                    self.damage.append(playback.span(0, event.reason))
                # Who joined late has another clock than the footer; packets are played as they come.
                yield playback.finish(None if self._packets else event.num_samples)

    def _open(self) -> Playback:
        """The playback of the stream, whose header has arrived; refuses that of another model each time."""
        if self._playback is None:
            assert self.header is not None  # it is the first event
            check_model(self.header, self.model, self._name)
            self._playback = Playback(self._engine, self.header, hold=not self._packets)
        return self._playback

    def _conceal(self, event: BlockDamaged, playback: Playback) -> Iterator[Pcm]:
        if self._packets and not self._joined:
            return  # what was sent before this listener came
        known = self._played_ahead(event.frames)
        if event.frames == 0 or event.frames > known:
            self.damage.append(playback.span(event.frames - known, event.reason))
            yield from playback.conceal(event.frames - known)

    def _played_ahead(self, frames: int) -> int:
        """How many of the next ``frames`` frames were concealed before the stream came to them."""
        known = min(self._concealed_ahead, frames)
        self._concealed_ahead -= known
        return known


def check_model(header: StreamHeader, model: CodecModel, name: str) -> None:
    """Refuse a stream that ``model`` cannot decode.

    Raises:
        CodecError: the stream names another model, or its header does not fit this one.
    """
    if header.model_id != model_id(model):
        raise CodecError(
            f"{name} was made with the model {header.model_name} {header.model_id.hex()}, and this is "
            f"{model.config.name} {model_id(model).hex()}: give the right checkpoint with --model"
        )
    config, bottleneck = model.config, model.bottleneck
    fits = (header.coded_rate, header.hop, header.bits_per_code) == (
        config.sample_rate,
        config.hop,
        bottleneck.bits_per_code,
    )
    if not MIN_SAMPLE_RATE <= header.sample_rate <= MAX_SAMPLE_RATE:
        raise CodecError(
            f"{name} claims {header.sample_rate} Hz, and the codec plays {MIN_SAMPLE_RATE} to "
            f"{MAX_SAMPLE_RATE} Hz: encode the audio again"
        )
    if not fits or header.num_codebooks > bottleneck.num_codebooks:
        raise CodecError(
            f"the header of {name} contradicts its model {header.model_name}: encode the audio again"
        )


def _describe(
    model: CodecModel, sample_rate: int, channels: int, num_codebooks: int, block_frames: int
) -> StreamHeader:
    return StreamHeader(
        model_name=model.config.name,
        model_id=model_id(model),
        sample_rate=sample_rate,
        channels=channels,
        coded_rate=model.config.sample_rate,
        hop=model.config.hop,
        num_codebooks=num_codebooks,
        bits_per_code=model.bottleneck.bits_per_code,
        block_frames=block_frames,
    )


def _choose_codebooks(
    model: CodecModel, channels: int, bitrate: float | None, num_codebooks: int | None
) -> int:
    if num_codebooks is None:
        highest = codebook_bitrate(model) * model.bottleneck.num_codebooks / 1000.0
        default = min(DEFAULT_BITRATE, highest) * channels
        return codebooks_for_bitrate(model, default if bitrate is None else bitrate, channels)
    if bitrate is not None:
        raise UsageError("give a bitrate or a number of codebooks, not both")
    if not 1 <= num_codebooks <= model.bottleneck.num_codebooks:
        raise UsageError(
            f"the number of codebooks must lie in 1..{model.bottleneck.num_codebooks}, not {num_codebooks}"
        )
    return num_codebooks
