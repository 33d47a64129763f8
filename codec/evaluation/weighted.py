"""Signal-to-noise ratio where the ear would look for the noise."""

from __future__ import annotations

import math

import numpy as np

from codec.evaluation.mel import FloatArray
from codec.evaluation.scores import Score, as_pair, silence
from codec.extras import require

_ORDER = 16
_BANDWIDTHS = (0.9, 0.6)
_HOP_SECONDS = 0.02
# Added to the energy of a frame, relative to it and absolutely, so that prediction stays stable.
_WHITE_NOISE = 1e-4
_TINY = 1e-12


def psnr(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Perceptually weighted signal-to-noise ratio in dB.

    ``10 log10(sum |W S|^2 / sum |W (S - X)|^2)`` over all bins of sine-windowed frames of 40 ms every 20 ms.
    ``W = |A(z / 0.9) / A(z / 0.6)|`` is the weighting filter of the CELP coders (ETSI EN 300 726), ``A`` the
    prediction error filter of order 16 of the original's frame: noise under a formant counts less. Infinite
    for equal signals. Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    reference, degraded = as_pair(reference, degraded)
    silent = silence(reference, degraded)
    if silent:
        return silent
    hop = round(_HOP_SECONDS * sample_rate)
    spectrum = _spectrum(reference, hop)
    weight = _weights(np.abs(spectrum) ** 2)
    signal = float(np.sum(np.square(weight * np.abs(spectrum))))
    noise = float(np.sum(np.square(weight * np.abs(spectrum - _spectrum(degraded, hop)))))
    if noise == 0.0:
        return Score(math.inf)
    return Score(10.0 * math.log10(max(signal, _TINY) / noise))


def _spectrum(audio: FloatArray, hop: int) -> FloatArray:
    """Spectra [F, hop + 1] of frames that cover audio [T]; zeros beyond both ends."""
    padded = np.pad(audio, (hop, 2 * hop - len(audio) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
    return np.asarray(np.fft.rfft(frames * window, axis=1))


def _weights(power: FloatArray) -> FloatArray:
    """Magnitudes [F, B] of the weighting filter for frames of power spectra [F, B]."""
    bins = power.shape[1]
    correlation = np.fft.irfft(power, axis=1)[:, : _ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * (1.0 + _WHITE_NOISE) + _TINY
    solve = require("scipy.linalg", extra="eval").solve_toeplitz
    filters = np.ones_like(correlation)
    for row, frame in zip(filters, correlation, strict=True):
        row[1:] = -solve(frame[:-1], frame[1:])
    delays = np.exp(-1j * np.pi * np.outer(np.arange(_ORDER + 1), np.arange(bins)) / (bins - 1))
    wide, narrow = (np.abs((filters * factor ** np.arange(_ORDER + 1)) @ delays) for factor in _BANDWIDTHS)
    return np.asarray(wide / narrow)
