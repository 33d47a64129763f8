"""The bitrate controller: how many codebooks each frame sends."""

from __future__ import annotations

from codec.rate.targets import bits_per_frame, check_bitrate, codebook_bitrate, codebooks_for_bitrate
from codec.rate.variable import DEFAULT_QUALITY, MAX_QUALITY, check_quality

__all__ = [
    "DEFAULT_QUALITY",
    "MAX_QUALITY",
    "bits_per_frame",
    "check_bitrate",
    "check_quality",
    "codebook_bitrate",
    "codebooks_for_bitrate",
]
