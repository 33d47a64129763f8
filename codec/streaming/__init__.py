"""Streams: audio to bytes and bytes to audio, piece by piece."""

from __future__ import annotations

from codec.streaming.decoder import StreamDecoder
from codec.streaming.encoder import DEFAULT_BITRATE, StreamEncoder
from codec.streaming.setup import Framing, check_model

__all__ = ["DEFAULT_BITRATE", "Framing", "StreamDecoder", "StreamEncoder", "check_model"]
