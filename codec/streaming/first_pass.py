"""The first of two passes over a sound: what it will cost, so that the second can hit a size."""

from __future__ import annotations

from collections.abc import Iterable

from codec.engine import Engine
from codec.model import CodecModel
from codec.pcm import Samples
from codec.rate.planned import Planner
from codec.streaming.appraisal import Appraiser, make_trellis
from codec.streaming.encoder import StreamEncoder
from codec.streaming.latents import Frames, LatentStream
from codec.streaming.setup import frames_of_block
from codec.streaming.target import make_target


class FirstPass:
    """Takes all of a sound, then gives the encoder for the second pass over the same sound.

    It keeps a few numbers a block and no sound.

    Args:
        model: the codec.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio.
        bitrate: kbit/s over all channels that all bytes take on average; the default is `StreamEncoder`'s.
        packet_ms: see `StreamEncoder`; this and the following.
        max_bitrate: kbit/s.
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
        self._model, self._sample_rate, self._channels = model, sample_rate, channels
        self._packet_ms, self._tags = packet_ms, tuple(tags or ())
        self._bitrate, self._max_bitrate = target.value, max_bitrate
        self._block_frames = frames_of_block(model, channels, target.num_codebooks, packet_ms)
        self._latents = LatentStream(engine, sample_rate, channels)
        self._appraiser = Appraiser(engine, self._block_frames)
        self._planner = Planner(make_trellis(model))
        self._waiting: Frames | None = None

    def push(self, pcm: Samples) -> None:
        """Take audio ``[n, C]``, or ``[n]`` for one channel; raises as `StreamEncoder.push`."""
        self._take(self._latents.push(pcm))

    def encoder(self) -> StreamEncoder:
        """End the pass: the encoder for the second."""
        waiting = self._take(self._latents.flush())
        if len(waiting):
            self._planner.add(self._appraiser.window(waiting))
        return StreamEncoder(
            self._model,
            self._sample_rate,
            self._channels,
            self._bitrate,
            self._packet_ms,
            mode="abr",
            max_bitrate=self._max_bitrate,
            tags=self._tags,
            plan=self._planner.plan(self._latents.samples),
        )

    def _take(self, frames: Frames) -> Frames:
        waiting = frames if self._waiting is None else self._waiting.join(frames)
        while len(waiting) >= self._block_frames:
            block, waiting = waiting.split(self._block_frames)
            self._planner.add(self._appraiser.window(block))
        self._waiting = waiting
        return waiting
