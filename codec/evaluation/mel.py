"""The mel spectrogram that distances and pictures are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.extras import require

FloatArray = NDArray[np.floating[Any]]


def mel_magnitude(audio: FloatArray, sample_rate: int, window: int, hop: int, bands: int) -> FloatArray:
    """Compute the magnitude in Slaney mel bands up to half the sample rate, [bands, frames], of audio [T].

    Hann windows of ``window`` samples, ``hop`` apart, zeros beyond both ends; a sine of full scale has the
    magnitude 1 in its STFT bin. T is at least 1.
    """
    # librosa's own STFT gives the same figures, but its module takes 15 s to compile itself on first use.
    spectrum = require("scipy.signal", extra="eval").stft(
        np.pad(audio, (0, max(0, window - len(audio)))),
        nperseg=window,
        noverlap=window - hop,
    )[2]
    filters = require("librosa.filters", extra="eval").mel(sr=sample_rate, n_fft=window, n_mels=bands)
    return np.asarray(filters @ (2.0 * np.abs(spectrum)))
