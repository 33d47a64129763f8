"""A part of a stream in a file, decoded without what lies before and behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from codec.bitstream.events import BlockRead, Lost
from codec.bitstream.header import StreamHeader
from codec.bitstream.seeking import SeekableStream
from codec.conceal import history_frames
from codec.damage import Damage, DamageLog
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.pcm import Samples
from codec.playback import Playback
from codec.resample import Resampler
from codec.streaming.player import Player
from codec.streaming.setup import check_model, payload_coder

# An LSTM never forgets altogether; it is given so many seconds to find into the stream.
_LSTM_SECONDS = 2.0


class SpanDecoder:
    """Decodes a span of time of a stream in a file.

    Only the span is read and decoded, and before it what the decoder remembers and what concealment may rest
    on, together 3 s for the default network. The audio is, bit for bit, that part of the whole stream's
    audio. A model with an LSTM, which remembers everything, only comes close to it.

    Args:
        model: the codec that the stream names.
        stream: the file.
        start: of the span, in seconds; it begins at the sample nearest to it.
        seconds: length of the span, or None for all up to the end of the stream. Whatever of the span lies
            behind the end is left out.
        name: what messages call the stream.

    Raises:
        CodecError: the stream needs another model.
        UsageError: a time is negative or no number.
    """

    def __init__(
        self,
        model: CodecModel,
        stream: SeekableStream,
        start: float,
        seconds: float | None = None,
        name: str = "the stream",
    ) -> None:
        for time in (start, seconds or 0.0):
            if not 0 <= time < math.inf:
                raise UsageError(f"a span begins at, and lasts, 0 seconds or more, not {time:g}")
        check_model(stream.header, model, name)
        self._stream = stream
        self._engine = Engine(model)
        self._engine.check_rows()
        self._coder = payload_coder(stream.header, model)
        self._log = DamageLog()
        rate = stream.header.sample_rate
        self._first = round(start * rate)
        self._count = None if seconds is None else round((start + seconds) * rate) - self._first

    @property
    def damage(self) -> list[Damage]:
        """What was concealed in the span, or passed over, so far; at the times of the whole stream."""
        rate = self._stream.header.sample_rate
        start = self._first / rate
        end = math.inf if self._count is None else start + self._count / rate
        return [
            damage
            for damage in self._log.places
            if damage.end_seconds >= start and damage.start_seconds < end
        ]

    def pieces(self) -> Iterator[Samples]:
        """The audio ``[n, C]`` of the span, piece by piece as it is iterated; once."""
        header, left = self._stream.header, self._count
        origin = _resampling_origin(header, self._first)
        position = self._first_frame(origin)
        playback = Playback(self._engine, header, True, position, origin)
        player = Player(self._coder, playback, False, self._log, position=position)
        early = self._first - origin
        for event in self._stream.events(position):
            for pcm in player.play(event):
                if left == 0:
                    return
                part = pcm[early:] if left is None else pcm[early : early + left]
                early = max(early - len(pcm), 0)
                left = None if left is None else left - len(part)
                yield part

    def _first_frame(self, origin: int) -> int:
        """The frame at which reading starts, for audio from the sample ``origin`` on."""
        header, model = self._stream.header, self._engine.model
        memory = model.decoder.memory
        if memory is None:
            memory = round(_LSTM_SECONDS * model.frame_rate)
        coded = origin * header.coded_rate // header.sample_rate + model.delay
        frame = max(coded // header.hop - memory, 0)
        # In a gap the decoder plays what follows from the frames before it.
        while frame and (gap := self._gap_start(frame - 1)) is not None:
            frame = gap
        return max(frame - history_frames(model.frame_rate), 0)

    def _gap_start(self, frame: int) -> int | None:
        """Where the run of lost frames that holds ``frame`` begins, or None if that one is whole."""
        for event in self._stream.events(frame, frame + 1):
            if isinstance(event, Lost) and event.frames:
                return event.position
            if isinstance(event, BlockRead):
                try:
                    frames = self._coder.unpack(event.payload).shape[2]
                except CodecError:
                    frames = 0
                end = event.position + frames
                return end if end <= frame else None
        return None


def _resampling_origin(header: StreamHeader, sample: int) -> int:
    """A sample from which on a new resampler gives ``sample`` with the bits of one that began at 0.

    Its filter reaches back so far, and it must begin where a sample of either rate falls on one of the other.
    """
    divisor = math.gcd(header.coded_rate, header.sample_rate)
    up, down = header.sample_rate // divisor, header.coded_rate // divisor
    resampler = Resampler(header.coded_rate, header.sample_rate, 1)
    reach = math.ceil(resampler.delay * header.coded_rate)
    return max((sample * down // up - reach) // down, 0) * up
