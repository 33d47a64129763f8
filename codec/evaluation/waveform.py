"""Waveform pictures for the listening page, as paths that a browser scales."""

from __future__ import annotations

import numpy as np

from codec.evaluation.mel import FloatArray

COLUMNS = 240
"""Width of a picture in its own units; its height is from -1 to 1."""


def outline(audio: FloatArray, peak: float) -> str:
    """Trace the largest and smallest sample of each column as an SVG path.

    Args:
        audio: [T] or [T, C], whose channels are averaged.
        peak: magnitude that fills the picture, so that pictures drawn with one peak compare.
    """
    mono = audio if audio.ndim == 1 else audio.mean(axis=1)
    pieces = np.array_split(mono / max(peak, 1e-9), min(COLUMNS, max(1, len(mono))))
    tops = [-float(piece.max(initial=0.0)) for piece in pieces]
    bottoms = [-float(piece.min(initial=0.0)) for piece in pieces]
    step = COLUMNS / len(pieces)
    points = [*enumerate(tops), *reversed([*enumerate(bottoms)])]
    return "M" + "L".join(f"{(index + 0.5) * step:.1f} {level:.2f}" for index, level in points) + "Z"
