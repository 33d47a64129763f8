"""Streams: audio to bytes and bytes to audio, piece by piece."""

from __future__ import annotations

from codec.streaming.decoder import StreamDecoder
from codec.streaming.encoder import StreamEncoder
from codec.streaming.setup import Framing, check_model
from codec.streaming.span import SpanDecoder
from codec.streaming.target import DEFAULT_BITRATE, Mode
from codec.streaming.two_pass import TwoPassEncoder

__all__ = [
    "DEFAULT_BITRATE",
    "Framing",
    "Mode",
    "SpanDecoder",
    "StreamDecoder",
    "StreamEncoder",
    "TwoPassEncoder",
    "check_model",
]
