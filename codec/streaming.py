"""Streams: audio to bytes and bytes to audio, piece by piece. Files go through here too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.events import BlockDamaged, BlockRead, Event, HeaderRead, StreamEnd
from codec.bitstream.header import StreamHeader
from codec.checkpoint import model_id
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.rate import ConstantRate, codebooks_for_bitrate
from codec.resample import Resampler

Pcm = NDArray[np.float32]
Framing = Literal["container", "packets"]

DEFAULT_BITRATE = 6.0
_PACKET_MS = (20, 10_000)


class StreamEncoder:
    """Encodes one stream of audio; holds all its state, so that one model serves many streams.

    Args:
        model: the codec.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio, each coded by itself.
        bitrate: kbit/s over all channels; 6 a channel where neither it nor ``num_codebooks`` is given.
        num_codebooks: codebooks of every frame, instead of a bitrate.
        packet_ms: length of a block, 20 to 10,000 ms.

    Raises:
        UsageError: a value is out of range.
    """

    def __init__(
        self,
        model: CodecModel,
        sample_rate: int,
        channels: int = 1,
        bitrate: float | None = None,
        num_codebooks: int | None = None,
        packet_ms: float = 2000,
        framing: Framing = "container",
    ) -> None:
        self.model = model
        self._engine = Engine(model)
        self._rate = ConstantRate(_choose_codebooks(model, channels, bitrate, num_codebooks))
        if not _PACKET_MS[0] <= packet_ms <= _PACKET_MS[1]:
            raise UsageError(f"a block must last {_PACKET_MS[0]} to {_PACKET_MS[1]} ms, not {packet_ms:g}")
        self.header = StreamHeader(
            model_name=model.config.name,
            model_id=model_id(model),
            sample_rate=sample_rate,
            channels=channels,
            coded_rate=model.config.sample_rate,
            hop=model.config.hop,
            num_codebooks=self._rate.num_codebooks,
            bits_per_code=model.bottleneck.bits_per_code,
            block_frames=max(1, round(packet_ms / 1000 * model.frame_rate)),
        )
        self._writer = ContainerWriter(self.header)
        self._resampler = Resampler(sample_rate, model.config.sample_rate, channels)
        self._states = [self._engine.start_encoder() for _ in range(channels)]
        self._pending = np.zeros((0, channels), np.float32)
        self._codes = torch.zeros(channels, self._rate.num_codebooks, 0, dtype=torch.int64)
        self._started = False
        self._samples_in = 0
        self._samples_coded = 0

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes returned so far."""
        return self._writer.payload_bytes

    @property
    def container_bytes(self) -> int:
        """All other bytes returned so far."""
        return self._writer.container_bytes

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return what it completes.

        The header comes first, then blocks.

        Raises:
            CodecError: the audio holds NaN or infinite samples.
            UsageError: the shape is another one.
        """
        pcm = _as_frames(pcm, self.header.channels)
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
        self._pending = pending[whole:]
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
        while self._codes.shape[2] >= size:
            output.append(self._writer.block(self._codes[:, :, :size].numpy()))
            self._codes = self._codes[:, :, size:].clone()
        return output


@dataclass(frozen=True)
class Damage:
    """A span of the decoded audio that was concealed; of no length where only stray bytes were passed over."""

    start_seconds: float
    seconds: float
    reason: str


class StreamDecoder:
    """Decodes one stream of bytes; holds all its state, so that one model serves many streams.

    Audio is held back by a frame, since only the footer tells where the last frame ends.

    Args:
        model: the codec that the stream names.
        name: what messages call the stream, for example its file name.
    """

    def __init__(self, model: CodecModel, framing: Framing = "container", name: str = "the stream") -> None:
        self.model = model
        self.damage: list[Damage] = []
        self._name = name
        self._engine = Engine(model)
        self._reader = ContainerReader(name)
        self._output: _Output | None = None

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

        Raises:
            CodecError: this is no stream of the codec, its header is damaged, or it was made with another
            model.
        """
        return self._play(self._reader.push(data))

    def flush(self) -> Pcm:
        """End the stream and return the audio that is left.

        Raises:
            CodecError: the stream ended before its header was whole.
        """
        return self._play(self._reader.finish())

    def _play(self, events: list[Event]) -> Pcm:
        parts = [part for event in events if (part := self._play_event(event)) is not None]
        channels = self.header.channels if self.header else 1
        return np.concatenate([np.zeros((0, channels), np.float32), *parts])

    def _play_event(self, event: Event) -> Pcm | None:
        if isinstance(event, HeaderRead):
            check_model(event.header, self.model, self._name)
            self._output = _Output(self._engine, event.header)
            return None
        assert self._output is not None  # the header is always the first event
        if isinstance(event, BlockRead):
            return self._output.decode(torch.from_numpy(event.codes))
        if isinstance(event, BlockDamaged):
            self.damage.append(self._output.span(event.frames, event.reason))
            return self._output.conceal(event.frames)
        assert isinstance(event, StreamEnd)
        if event.reason:
            self.damage.append(self._output.span(0, event.reason))
        return self._output.finish(event.num_samples)


class _Output:
    """Turns codes into audio at the rate of the stream: decoder states, alignment, resampling, exact end."""

    def __init__(self, engine: Engine, header: StreamHeader) -> None:
        self._engine = engine
        self._header = header
        self._states = [engine.start_decoder() for _ in range(header.channels)]
        self._resampler = Resampler(header.coded_rate, header.sample_rate, header.channels)
        self._to_drop = engine.model.delay
        self._frames = 0
        self._emitted = 0
        self._last = torch.zeros(header.channels, header.num_codebooks, 1, dtype=torch.int64)
        self._held = np.zeros((0, header.channels), np.float32)
        # The encoder filled its last hop up: less than a hop, and a sample of rounding, lies behind the end.
        self._hold = -(-header.hop * header.sample_rate // header.coded_rate) + 1

    def decode(self, codes: Tensor) -> Pcm:
        """Codes ``[C, M, F]`` to the next audio ``[n, C]``."""
        audio = []
        for channel, state in enumerate(self._states):
            channel_audio, self._states[channel] = self._engine.synthesize(codes[channel], state)
            audio.append(channel_audio.cpu())
        self._last = codes[:, :, -1:]
        return self._emit(audio, codes.shape[2])

    def conceal(self, frames: int) -> Pcm:
        """Audio ``[n, C]`` in place of ``frames`` lost frames."""
        if not frames:
            return self._held[:0]
        audio = []
        for channel, state in enumerate(self._states):
            channel_audio, self._states[channel] = self._engine.conceal(self._last[channel], state, frames)
            audio.append(channel_audio.cpu())
        return self._emit(audio, frames)

    def span(self, frames: int, reason: str) -> Damage:
        """The place of ``frames`` lost frames that come next."""
        seconds = self._header.hop / self._header.coded_rate
        return Damage(self._frames * seconds, frames * seconds, reason)

    def finish(self, num_samples: int | None) -> Pcm:
        """The rest of the audio: up to ``num_samples`` in all, or all that was sent where no footer tells."""
        held = np.concatenate([self._held, self._resampler.flush()])
        if num_samples is None:
            return held
        missing = num_samples - self._emitted
        # Only damage leaves fewer samples than the footer states; the clock stays right all the same.
        return np.pad(held[: max(missing, 0)], ((0, max(missing - len(held), 0)), (0, 0)))

    def _emit(self, audio: list[Tensor], frames: int) -> Pcm:
        self._frames += frames
        samples = torch.stack(audio, dim=1).numpy()
        dropped = min(self._to_drop, len(samples))
        self._to_drop -= dropped
        ready = np.concatenate([self._held, self._resampler.push(samples[dropped:])])
        keep = max(len(ready) - self._hold, 0)
        self._held = ready[keep:]
        self._emitted += keep
        return ready[:keep]


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
    if not fits or header.num_codebooks > bottleneck.num_codebooks:
        raise CodecError(
            f"the header of {name} contradicts its model {header.model_name}: encode the audio again"
        )


def _choose_codebooks(
    model: CodecModel, channels: int, bitrate: float | None, num_codebooks: int | None
) -> int:
    if num_codebooks is None:
        return codebooks_for_bitrate(
            model, DEFAULT_BITRATE * channels if bitrate is None else bitrate, channels
        )
    if bitrate is not None:
        raise UsageError("give a bitrate or a number of codebooks, not both")
    if not 1 <= num_codebooks <= model.bottleneck.num_codebooks:
        raise UsageError(
            f"the number of codebooks must lie in 1..{model.bottleneck.num_codebooks}, not {num_codebooks}"
        )
    return num_codebooks


def _as_frames(pcm: Pcm, channels: int) -> Pcm:
    frames = np.asarray(pcm, dtype=np.float32)
    frames = frames[:, None] if frames.ndim == 1 and channels == 1 else frames
    if frames.ndim != 2 or frames.shape[1] != channels:
        raise UsageError(f"audio must be [samples, {channels}], not {list(frames.shape)}")
    if not np.isfinite(frames).all():
        raise CodecError("the audio holds NaN or infinite samples: repair it before encoding")
    return frames
