"""What a reader of a stream tells, as audio: payloads become codes, gaps are concealed, damage is noted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from codec.bitstream.codes import Codes
from codec.bitstream.codes_hash import CodesHash
from codec.bitstream.events import BlockRead, Event, Lost, StreamEnd
from codec.bitstream.payload import PayloadCoder
from codec.comfort import ComfortNoise
from codec.damage import DamageLog
from codec.errors import CodecError
from codec.pcm import Samples
from codec.playback import Playback

# Payloads of so many blocks are decoded before the first of them is played.
_EVENTS_AT_ONCE = 64


class Player:
    """Plays the events of one stream.

    A gap is played when the next frames are at hand, since both sides together tell more of what is missing.

    Args:
        coder: of the stream's payloads.
        playback: what its frames go to.
        live: packets instead of a container: comfort noise is drawn across packets, and the audio is not cut
            to a length.
        damage: takes what is lost.
        loss: tells of each block or packet in turn whether it is lost, to simulate a network.
        position: number of the frame in the stream that is played first.
    """

    def __init__(
        self,
        coder: PayloadCoder,
        playback: Playback,
        live: bool,
        damage: DamageLog,
        loss: Iterator[bool] | None = None,
        position: int = 0,
    ) -> None:
        self.playback = playback
        self._block_frames = coder.block_frames
        self._coder = coder
        self._live = live
        self._damage = damage
        self._loss = loss
        self._start = position
        self._comfort = ComfortNoise()
        self._hash = CodesHash()
        self._intact = True
        self._next = 0  # the frame behind the last block that was whole
        self._gap = 0  # lost frames that wait for what follows them
        self._short = 0  # frames by which the last block falls short of a full one
        self._played_ahead = 0  # frames that were given up before the stream came to them

    def play_all(self, events: Sequence[Event]) -> Iterator[Samples]:
        """As `play`, of many events: their payloads are decoded together, which takes less time."""
        for at in range(0, len(events), _EVENTS_AT_ONCE):
            some = events[at : at + _EVENTS_AT_ONCE]
            codes = iter(self._coder.unpack_all([e.payload for e in some if isinstance(e, BlockRead)]))
            for event in some:
                yield from self.play(event, next(codes) if isinstance(event, BlockRead) else None)

    def play(self, event: Event, codes: Codes | CodecError | None = None) -> Iterator[Samples]:
        """The audio ``[n, C]`` that an event completes, in pieces of bounded length.

        Args:
            event: what the reader tells.
            codes: of the payload of a block, or what is wrong with it, where that is known already.
        """
        if isinstance(event, BlockRead):
            self._miss_short()
            yield from self._block(event, codes)
        elif isinstance(event, Lost):
            self._miss_short()
            frames = event.frames - max(self._start - event.position, 0)
            if frames > 0 or not event.frames:
                self._lose(max(frames, 0), event.reason)
        elif isinstance(event, StreamEnd):
            yield from self._end(event)

    def lost(self, frames: int, reason: str) -> Iterator[Samples]:
        """Play the next ``frames`` frames as lost, before the stream tells of them."""
        self._miss(frames, reason)
        self._played_ahead += frames
        yield from self._conceal(None)

    def codes(self, codes: Codes) -> Iterator[Samples]:
        """Play codes ``[C, M, F]``, F at least 1, which come after everything so far."""
        tensor = torch.from_numpy(codes)
        yield from self._conceal(tensor)
        yield from self.playback.decode(tensor)

    def _block(self, event: BlockRead, unpacked: Codes | CodecError | None) -> Iterator[Samples]:
        frames = self._frames(event.payload)
        codes = self._unpack(event, frames, unpacked)
        self._short = self._block_frames - frames
        self._intact = self._intact and event.position == self._next
        self._next = event.position + frames
        if codes is None:
            return
        if self._intact:
            self._hash.update(codes)
        if not self._live:
            self._comfort.reset()
        codes = self._comfort.fill(codes, event.position)[:, :, max(self._start - event.position, 0) :]
        late = self._ahead(codes.shape[2])
        if late < codes.shape[2]:
            yield from self.codes(codes[:, :, late:])

    def _frames(self, payload: bytes) -> int:
        """The frames of a payload, as many as a full one has where that is damaged."""
        try:
            return self._coder.peek(payload)[0]
        except CodecError:
            return self._block_frames

    def _unpack(self, event: BlockRead, frames: int, unpacked: Codes | CodecError | None) -> Codes | None:
        """The codes ``[C, M, F]`` of a block, or None where it counts as lost."""
        skipped = min(max(self._start - event.position, 0), frames)
        if self._loss is not None and next(self._loss):
            self._lose(frames - skipped, "lost in the simulation")
            return None
        if unpacked is None:
            (unpacked,) = self._coder.unpack_all([event.payload])
        if isinstance(unpacked, CodecError):
            self._lose(frames - skipped, str(unpacked))
            return None
        return unpacked

    def _lose(self, frames: int, reason: str) -> None:
        """Note frames that the stream tells to be lost; some may have been given up before."""
        known = self._ahead(frames)
        if frames == 0 or frames > known:
            self._miss(frames - known, reason)

    def _miss(self, frames: int, reason: str) -> None:
        self._intact = False
        self._damage.add(self.playback.span(frames, reason, self._gap))
        self._gap += frames

    def _miss_short(self) -> None:
        """A block that is followed by another, and ended early, is damaged."""
        if self._short:
            self._miss(self._short, "a block ended early")
        self._short = 0

    def _ahead(self, frames: int) -> int:
        """How many of the next ``frames`` frames were given up before the stream came to them."""
        known = min(self._played_ahead, frames)
        self._played_ahead -= known
        return known

    def _conceal(self, following: torch.Tensor | None) -> Iterator[Samples]:
        frames, self._gap = self._gap, 0
        if frames:
            yield from self.playback.conceal(frames, following)

    def _end(self, event: StreamEnd) -> Iterator[Samples]:
        if event.codes_hash is not None:
            self._short = min(max(event.num_frames - self._next, 0), self._short)
            self._miss_short()
        yield from self._conceal(None)
        differs = self._intact and event.codes_hash not in (None, self._hash.digest())
        for reason in (event.reason, "the codes are not those that were written" if differs else None):
            if reason:
                self._damage.add(self.playback.span(0, reason))
        # Who joined late has another clock than the end tells; packets are played as they come.
        yield self.playback.finish(None if self._live else event.num_samples)
