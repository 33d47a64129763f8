"""The perceptual models, both from linear prediction of order 16, and the lapped transform of clips.

The codec shapes its noise by the weighting filter that EVS has at 16 kHz (3GPP TS 26.445),
A(z / 0.92) / (1 - 0.72 / z) with A for the pre-emphasized signal. pSNR is measured by that of the CELP coders
(as in GSM EFR), A(z / 0.9) / A(z / 0.6) with A for the signal itself. Their magnitudes are small where speech
masks noise.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from codec.evaluation.metrics import Score
from codec.nn.mdct import Mdct, mdct_window

Array = NDArray[np.float64]

HOP = 320
OVERLAP = 160

_ORDER = 16
_CODING_BANDWIDTH, _PREEMPHASIS = 0.92, 0.72
_MEASURED_BANDWIDTHS = (0.9, 0.6)
# Added to the energy of a frame, relatively and absolutely: prediction stays stable, and silence defined.
_WHITE_NOISE = 1e-4
_TINY = 1e-12

# Frequencies of the lines, and the powers 0 to 16 of their unit delay.
_OMEGA = (np.arange(HOP) + 0.5) * math.pi / HOP
_DELAYS = np.exp(-1j * np.outer(np.arange(_ORDER + 1), _OMEGA))
_TILT = np.abs(1.0 - _PREEMPHASIS * _DELAYS[1])


def coding_weights(power: Array) -> Array:
    """Magnitudes ``[F, 320]`` of the codec's weighting for frames of power spectra ``[F, 320]``."""
    predictor = _predictor(_correlation(power * _TILT**2))
    return _response(predictor, _CODING_BANDWIDTH) / _TILT


def measured_weights(power: Array) -> Array:
    """Magnitudes ``[F, 320]`` of the weighting that pSNR is measured by, for power spectra ``[F, 320]``."""
    predictor = _predictor(_correlation(power))
    return _response(predictor, _MEASURED_BANDWIDTHS[0]) / _response(predictor, _MEASURED_BANDWIDTHS[1])


def _correlation(power: Array) -> Array:
    """Autocorrelations ``[F, 17]`` of frames of power spectra ``[F, 320]``."""
    correlation: Array = power @ _DELAYS.real.T
    correlation[:, 0] = correlation[:, 0] * (1.0 + _WHITE_NOISE) + _TINY
    return correlation


def _response(predictor: Array, bandwidth: float) -> Array:
    """Magnitudes ``[F, 320]`` of filters ``[F, 17]`` whose zeros move inwards by ``bandwidth``."""
    return np.abs((predictor * bandwidth ** np.arange(_ORDER + 1)) @ _DELAYS)


def _predictor(correlation: Array) -> Array:
    """Levinson's recursion: prediction error filters ``[F, 17]`` of autocorrelations ``[F, 17]``."""
    filters = np.zeros_like(correlation)
    filters[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for order in range(1, _ORDER + 1):
        ahead = (filters[:, :order] * correlation[:, order:0:-1]).sum(axis=1)
        reflection = -ahead / error
        mirrored = filters[:, order::-1][:, : order + 1].copy()
        filters[:, : order + 1] += reflection[:, None] * mirrored
        error *= 1.0 - reflection**2
    return filters


def frame_count(length: int) -> int:
    """Frames that cover ``length`` samples; the last ones complete the overlap."""
    return -(-(length + OVERLAP) // HOP)


def lines_of(audio: NDArray[np.float32]) -> torch.Tensor:
    """The spectral lines ``[F, 320]`` float32 of audio ``[T]``, zeros after its end."""
    padded = np.zeros(frame_count(len(audio)) * HOP, np.float32)
    padded[: len(audio)] = audio
    lines: torch.Tensor = Mdct(HOP, OVERLAP)(torch.from_numpy(padded)[None])[0]
    return lines


def audio_of(lines: torch.Tensor, length: int) -> NDArray[np.float32]:
    """Audio ``[length]`` of spectral lines ``[F, 320]`` float32, aligned with what they were made of."""
    audio: NDArray[np.float32] = Mdct(HOP, OVERLAP).inverse(lines[None])[0].numpy()
    return audio[OVERLAP : OVERLAP + length]


def spectra_of(audio: NDArray[np.float32]) -> Array:
    """Power spectra ``[F, 320]`` of the windowed frames of audio ``[T]``, at the frequencies of the lines."""
    padded = np.zeros(OVERLAP + frame_count(len(audio)) * HOP)
    padded[OVERLAP : OVERLAP + len(audio)] = audio
    frames = np.lib.stride_tricks.sliding_window_view(padded, HOP + OVERLAP)[::HOP]
    shift = np.exp(-1j * math.pi / (2 * HOP) * np.arange(HOP + OVERLAP))
    spectra = np.fft.fft(frames * mdct_window(HOP, OVERLAP).numpy() * shift, 2 * HOP, axis=1)
    return np.abs(spectra[:, :HOP]) ** 2


def psnr(original: NDArray[np.float32], decoded: NDArray[np.float32]) -> tuple[Score, Score]:
    """Signal-to-noise ratios of a decoded clip ``[T]`` in dB, after a weighting of the original's frames.

    ``10 log10`` of the weighted energies of lines and of their errors, each summed over the clip.

    Returns:
        with `measured_weights`, and with `coding_weights`.
    """
    if not original.any():
        return Score(None, "the original is silent"), Score(None, "the original is silent")
    spectra, lines = spectra_of(original), lines_of(original).double().numpy()
    error = lines - lines_of(decoded).double().numpy()
    return _ratio(measured_weights(spectra), lines, error), _ratio(coding_weights(spectra), lines, error)


def _ratio(weight: Array, lines: Array, error: Array) -> Score:
    signal, noise = (float(np.square(weight * part).sum()) for part in (lines, error))
    return Score(10.0 * math.log10(signal / max(noise, _TINY)))
