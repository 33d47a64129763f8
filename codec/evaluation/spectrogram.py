"""Spectrogram pictures for the listening page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from codec.evaluation.mel import FloatArray, mel_magnitude
from codec.extras import require

_BANDS = 128
_STEP_SECONDS = 0.012
_RANGE_DB = 80.0


def log_mel(audio: FloatArray, sample_rate: int) -> NDArray[np.float32]:
    """Compute the log-mel spectrogram in dB re full scale, [128, frames], one frame every 12 ms.

    ``audio`` is [T] or [T, C], whose channels are averaged; the bands reach half the sample rate.
    """
    mono = audio if audio.ndim == 1 else audio.mean(axis=1)
    window = 2 ** round(np.log2(0.048 * sample_rate))
    magnitude = mel_magnitude(mono, sample_rate, window, round(_STEP_SECONDS * sample_rate), _BANDS)
    return np.asarray(20.0 * np.log10(np.maximum(magnitude, 1e-6)), np.float32)


def draw_png(decibels: NDArray[np.float32], peak_db: float) -> bytes:
    """Draw a spectrogram [bands, frames] as PNG, a pixel a value, low bands at the bottom.

    The colours span the 80 dB below ``peak_db``: pictures drawn with one peak compare.
    """
    shades = np.clip((decibels - (peak_db - _RANGE_DB)) / _RANGE_DB, 0.0, 1.0)
    colours = require("matplotlib", extra="eval").colormaps["magma"].colors
    # A palette instead of four channels: a third of the bytes, of which a page holds dozens.
    levels = np.round((len(colours) - 1) * shades[::-1]).astype(np.uint8)
    image = require("PIL.Image", extra="eval").fromarray(levels, "L")
    image.putpalette((255 * np.array(colours)).round().astype(np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "png", optimize=True)
    return out.getvalue()


def frequency_ticks(sample_rate: int) -> list[tuple[str, float]]:
    """List labels for round frequencies with their height in the picture, 0 at the bottom to 1 at the top."""
    hz_to_mel = require("librosa", extra="eval").hz_to_mel
    top = float(hz_to_mel(sample_rate / 2))
    kilohertz = [tick for tick in (1, 2, 4, 8, 16) if tick * 1000 < 0.75 * sample_rate / 2]
    return [(f"{tick}k", float(hz_to_mel(1000.0 * tick)) / top) for tick in kilohertz]
