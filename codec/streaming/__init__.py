"""Streams: audio to bytes and bytes to audio, piece by piece."""

from __future__ import annotations

from codec.streaming.decoder import StreamDecoder
from codec.streaming.encoder import StreamEncoder
from codec.streaming.first_pass import FirstPass
from codec.streaming.setup import Framing, check_model
from codec.streaming.span import SpanDecoder
from codec.streaming.target import DEFAULT_BITRATE, Mode

__all__ = [
    "DEFAULT_BITRATE",
    "FirstPass",
    "Framing",
    "Mode",
    "SpanDecoder",
    "StreamDecoder",
    "StreamEncoder",
    "check_model",
]
