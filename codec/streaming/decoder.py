"""Bytes to audio, piece by piece. Files go through here too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from codec.bitstream.container import ContainerReader
from codec.bitstream.events import BlockRead, Event, Lost, StreamEnd
from codec.bitstream.header import StreamHeader
from codec.bitstream.packets import PacketReader
from codec.bitstream.payload import PayloadCoder
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.pcm import Samples
from codec.playback import Damage, Playback, as_codes
from codec.streaming.setup import Framing, check_model, describe, payload_coder

Pcm = Samples


class StreamDecoder:
    """Decodes one stream of bytes; holds all its state, so that one model serves many streams.

    From a container, audio is held back by a frame, since only the footer tells where the last frame ends.

    Args:
        model: the codec that the stream names.
        framing: as the encoder's. With "packets" every ``push`` takes one packet; a gap that the next shows
            is concealed by itself, one that the caller knows of earlier by ``lost``.
        name: what messages call the stream, for example its file name.
        header: of a container, where its own is damaged and something else told it.
    """

    def __init__(
        self,
        model: CodecModel,
        framing: Framing = "container",
        name: str = "the stream",
        header: StreamHeader | None = None,
    ) -> None:
        self.damage: list[Damage] = []
        self._name = name
        self._packets = framing == "packets"
        self._engine = Engine(model)
        self._engine.check_rows()
        self._reader = PacketReader(name) if self._packets else ContainerReader(name, header)
        self._coder: PayloadCoder | None = None
        self._playback: Playback | None = None
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
        yield from self._play(self._reader.push(data))

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
            header = describe(self.model, self.model.config.sample_rate, tensor.shape[0], tensor.shape[1], 1)
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
                yield from self._decode(event, playback)
            elif isinstance(event, Lost):
                yield from self._conceal(event.frames, event.reason, playback)
            elif isinstance(event, StreamEnd):
                if event.reason:
                    self.damage.append(playback.span(0, event.reason))
                # Who joined late has another clock than the footer; packets are played as they come.
                yield playback.finish(None if self._packets else event.num_samples)

    def _decode(self, event: BlockRead, playback: Playback) -> Iterator[Pcm]:
        assert self._coder is not None
        try:
            codes = self._coder.unpack(event.payload)
        except CodecError as error:
            yield from self._conceal(self._coder.block_frames, str(error), playback)
            return
        # Frames that were given up as lost have been played already, should they come after all.
        late = self._played_ahead(codes.shape[2])
        yield from playback.decode(torch.from_numpy(codes[:, :, late:]))

    def _open(self) -> Playback:
        """The playback of the stream, whose header has arrived; refuses that of another model each time."""
        if self._playback is None:
            assert self.header is not None  # it is the first event
            check_model(self.header, self.model, self._name)
            self._playback = Playback(self._engine, self.header, hold=not self._packets)
            self._coder = payload_coder(self.header)
        return self._playback

    def _conceal(self, frames: int, reason: str, playback: Playback) -> Iterator[Pcm]:
        known = self._played_ahead(frames)
        if frames == 0 or frames > known:
            self.damage.append(playback.span(frames - known, reason))
            yield from playback.conceal(frames - known)

    def _played_ahead(self, frames: int) -> int:
        """How many of the next ``frames`` frames were concealed before the stream came to them."""
        known = min(self._concealed_ahead, frames)
        self._concealed_ahead -= known
        return known
