"""Bytes to audio, piece by piece. Files go through here too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.container import ContainerReader
from codec.bitstream.events import Event
from codec.bitstream.header import StreamHeader
from codec.bitstream.packets import PacketReader
from codec.damage import Damage, DamageLog
from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.pcm import Samples
from codec.playback import Playback, as_codes
from codec.streaming.player import Player
from codec.streaming.setup import Framing, check_model, describe, payload_coder

Pcm = Samples


class StreamDecoder:
    """Decodes one stream of bytes; holds all its state, so that one model serves many streams.

    All audio lies within full scale: what would go beyond -1 or 1 is cut there. From a container it is held
    back by a frame, since only the footer tells where the last frame ends.
    What is lost is concealed when the next block or packet is at hand, between the two, or at once when
    ``lost`` says so. A copy (``copy.deepcopy``) saves a stream: it goes on by itself, and shares the model.
    No method waits for anything but the processor, which other threads may use meanwhile: in asyncio, call
    ``await asyncio.to_thread(decoder.push, packet)``.

    Args:
        model: the codec that the stream names.
        framing: as the encoder's. With "packets" every ``push`` takes one packet; a gap that the next shows
            is concealed by itself, one that the caller knows of earlier by ``lost``.
        name: what messages call the stream, for example its file name.
        header: of a container, where its own is damaged and something else told it.
        loss: tells of each block or packet in turn whether it is lost, to simulate a network; see
            :mod:`codec.loss`.

    Attributes:
        damage: what was concealed or passed over so far, in the order of the audio.
    """

    def __init__(
        self,
        model: CodecModel,
        framing: Framing = "container",
        name: str = "the stream",
        header: StreamHeader | None = None,
        loss: Iterator[bool] | None = None,
    ) -> None:
        self._name = name
        self._packets = framing == "packets"
        self._engine = Engine(model)
        self._engine.check_rows()
        self._reader = PacketReader(name) if self._packets else ContainerReader(name, header)
        self._loss = loss
        self._log = DamageLog()
        self._player: Player | None = None

    @property
    def model(self) -> CodecModel:
        """The codec."""
        return self._engine.model

    @property
    def damage(self) -> list[Damage]:
        """What was concealed or passed over so far, in the order of the audio; short in any stream."""
        return self._log.places

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
        if self.header is None and self._player is not None:
            return  # codes were played, and no stream was pushed
        yield from self._play(self._reader.finish())

    def push_codes(self, codes: NDArray[np.int64]) -> Pcm:
        """Play codes ``[M, F]``, or ``[C, M, F]`` with C the same each time: audio ``[n, C]``.

        Without a stream's header the audio has the model's rate; -1 stands for a codebook that was not sent,
        and a frame without any is silence.

        Raises:
            CodecError: a code is out of range.
            UsageError: these are no codes of that shape.
        """
        tensor = as_codes(codes)
        if self._player is None:
            rate, (channels, count, _) = self.model.config.sample_rate, tensor.shape
            self._player = self._start(describe(self.model, rate, channels, count, 1), hold=False)
        channels = self._player.playback.channels
        if tensor.shape[0] != channels:
            raise UsageError(f"codes must have {channels} channel(s), not {tensor.shape[0]}")
        return self._join(self._player.codes(tensor.numpy()) if tensor.shape[2] else iter(()))

    def lost(self, frames: int) -> Pcm:
        """Conceal the next ``frames`` frames, which the caller knows to be lost, and return audio ``[n, C]``.

        Without this a gap is concealed when the next packet arrives, better, since both sides are known.

        Raises:
            UsageError: nothing tells yet what is played, since no header and no codes came before, or
                ``frames`` is not positive.
        """
        if self._player is None:
            raise UsageError("frames can be lost only after the header, or after codes")
        if frames < 1:
            raise UsageError(f"a gap must be of at least one frame, not {frames}")
        return self._join(self._player.lost(frames, "lost"))

    def _join(self, pieces: Iterator[Pcm]) -> Pcm:
        parts = list(pieces)
        channels = self._player.playback.channels if self._player else 1
        return np.concatenate([np.zeros((0, channels), np.float32), *parts])

    def _play(self, events: list[Event]) -> Iterator[Pcm]:
        if not events:
            return
        # Whoever goes on after the model was refused is told so each time.
        if self._player is None:
            assert self.header is not None  # it is the first event
            check_model(self.header, self.model, self._name)
            self._player = self._start(self.header, hold=not self._packets)
        yield from self._player.play_all(events)

    def _start(self, header: StreamHeader, hold: bool) -> Player:
        playback = Playback(self._engine, header, hold)
        return Player(payload_coder(header, self.model), playback, self._packets, self._log, self._loss)
