"""Objective quality of decoded speech: PESQ, STOI, SI-SDR and log-mel distance, and the table of all metrics.

Every metric takes float arrays ``reference`` and ``degraded`` of one shape [T] and their sample rate in Hz,
aligned to the sample, and returns a :class:`Score`: a value, or the reason why there is none. Where a metric
is undefined (silence, too short) no number is made up, so that a mean can tell over how many clips it runs.
"""

from __future__ import annotations

import importlib
import math
import warnings
from functools import cache
from typing import Any, Literal

import numpy as np

from codec.errors import CodecError
from codec.evaluation.learned import dnsmos, visqol, visqol_audio
from codec.evaluation.mel import FloatArray, mel_magnitude
from codec.evaluation.scores import DECODED_SILENT, Metric, Score, as_pair, silence
from codec.evaluation.weighted import psnr
from codec.extras import require

# The reference implementation of P.862 keeps room for 50 utterances and writes past it: pieces of 15 s cannot
# hold as many, since an utterance and the pause after it take at least 0.4 s together.
_PESQ_PIECE_SECONDS = 15.0
# STOI looks at 30 frames of 256 samples with a step of 128 at 10 kHz.
_STOI_SECONDS = (29 * 128 + 256 + 128) / 10_000
_MEL_BANDS = 80
_MEL_FLOOR = 1e-5


def pesq_wb(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Wideband PESQ as MOS-LQO, 1.04 to 4.64 (ITU-T P.862 with the mapping of P.862.2), at 16 kHz.

    A signal at another rate is resampled first. One longer than 15 s is scored in equal pieces, and the score
    is the mean over the pieces that hold speech. Raises ``ValueError`` for arrays that are not two of one
    shape [T].
    """
    return _pesq(reference, degraded, sample_rate, "wb")


def pesq_nb(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Narrowband PESQ as MOS-LQO, 1.02 to 4.55 (ITU-T P.862 with the mapping of P.862.1), at 8 or 16 kHz.

    Long signals and errors as in :func:`pesq_wb`. The two scales do not compare: say which one a figure is
    on.
    """
    return _pesq(reference, degraded, sample_rate, "nb")


def stoi(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Short-time objective intelligibility, about 0 to 1 (Taal et al., IEEE TASLP 2011).

    Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    return _stoi(reference, degraded, sample_rate, extended=False)


def estoi(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Extended STOI, about 0 to 1 (Jensen and Taal, IEEE TASLP 2016); errors as in :func:`stoi`."""
    return _stoi(reference, degraded, sample_rate, extended=True)


def si_sdr(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019), means removed.

    ``10 log10(|a s|^2 / |a s - x|^2)`` with ``a = <x, s> / |s|^2``; infinite where ``x`` is ``s`` scaled. The
    sample rate plays no part. Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    reference, degraded = as_pair(reference, degraded)
    silent = silence(reference, degraded)
    if silent:
        return silent
    reference = reference - reference.mean()
    degraded = degraded - degraded.mean()
    power = float(reference @ reference)
    if power == 0.0:
        return Score(None, "the original is constant")
    target = (float(degraded @ reference) / power) * reference
    wanted = float(target @ target)
    error = float(np.sum((target - degraded) ** 2))
    if error == 0.0:
        return Score(math.inf)
    return Score(10.0 * math.log10(wanted / error) if wanted > 0.0 else -math.inf)


def log_mel_distance(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """Mean absolute difference in dB between two log-mel spectrograms; 0 for equal signals.

    80 Slaney mel bands up to half the sample rate of the magnitude in Hann windows of about 64 ms, a quarter
    of a window apart, floored at 1e-5 of full scale: ``mean |20 log10 R - 20 log10 D|``. Defined for silence.
    Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    reference, degraded = as_pair(reference, degraded)
    if reference.size == 0:
        return Score(None, "the clip is empty")
    window = 2 ** round(math.log2(0.064 * sample_rate))

    def decibels(signal: FloatArray) -> FloatArray:
        magnitude = mel_magnitude(signal, sample_rate, window, window // 4, _MEL_BANDS)
        return np.asarray(20.0 * np.log10(np.maximum(magnitude, _MEL_FLOOR)))

    return Score(float(np.mean(np.abs(decibels(reference) - decibels(degraded)))))


METRICS: dict[str, Metric] = {
    "pesq_wb": pesq_wb,
    "pesq_nb": pesq_nb,
    "stoi": stoi,
    "estoi": estoi,
    "visqol": visqol,
    "visqol_audio": visqol_audio,
    "si_sdr": si_sdr,
    "psnr": psnr,
    "log_mel_distance": log_mel_distance,
    "dnsmos": dnsmos,
}
"""All metrics by the name under which results carry them."""

_PACKAGES = {
    "pesq_wb": ["pesq"],
    "pesq_nb": ["pesq"],
    "stoi": ["pystoi"],
    "estoi": ["pystoi"],
    "visqol": ["visqol", "ai_edge_litert"],
    "visqol_audio": ["visqol"],
    "psnr": ["scipy"],
    "log_mel_distance": ["librosa", "scipy"],
    "dnsmos": ["speechmos", "onnxruntime", "librosa"],
}


def available(name: str) -> bool:
    """Tell whether a metric of :data:`METRICS`, or an optional package such as ``pesq``, can be used here.

    The package is really imported, since a compiled one can be installed and yet not load.
    """
    return missing_package(name) is None


@cache
def missing_package(name: str) -> str | None:
    """Name the package that a metric, or :func:`available`, lacks here; None where there is none missing."""
    for package in _PACKAGES.get(name, [] if name in METRICS else [name]):
        try:
            importlib.import_module(package)
        except (ImportError, OSError):
            return package
    return None


def _pesq(reference: FloatArray, degraded: FloatArray, sample_rate: int, mode: Literal["wb", "nb"]) -> Score:
    reference, degraded = as_pair(reference, degraded)
    package = require("pesq", extra="pesq")
    if sample_rate != 16_000 and (mode == "wb" or sample_rate != 8_000):
        resample = require("librosa", extra="eval").resample
        reference = resample(reference, orig_sr=sample_rate, target_sr=16_000)
        degraded = resample(degraded, orig_sr=sample_rate, target_sr=16_000)
        sample_rate = 16_000
    pieces = max(1, math.ceil(len(reference) / (_PESQ_PIECE_SECONDS * sample_rate)))
    scores = [
        _pesq_piece(package, *pair, sample_rate, mode)
        for pair in zip(np.array_split(reference, pieces), np.array_split(degraded, pieces), strict=True)
    ]
    lost = [score for score in scores if score.reason == DECODED_SILENT]
    values = [score.value for score in scores if score.value is not None]
    # Speech that came back as silence is a failure, not a piece without speech: it must not leave the mean
    # quietly.
    return lost[0] if lost else Score(float(np.mean(values))) if values else scores[0]


def _pesq_piece(
    package: Any, reference: FloatArray, degraded: FloatArray, sample_rate: int, mode: Literal["wb", "nb"]
) -> Score:
    silent = silence(reference, degraded)
    if silent:
        return silent
    try:
        return Score(float(package.pesq(sample_rate, reference, degraded, mode)))
    except package.NoUtterancesError:
        return Score(None, "PESQ finds no speech")
    except package.BufferTooShortError:
        return Score(None, "shorter than 0.25 s, too short for PESQ")
    except package.OutOfMemoryError as error:
        raise CodecError("PESQ ran out of memory: free some and measure again") from error


def _stoi(reference: FloatArray, degraded: FloatArray, sample_rate: int, extended: bool) -> Score:
    reference, degraded = as_pair(reference, degraded)
    silent = silence(reference, degraded)
    if silent:
        return silent
    if len(reference) < _STOI_SECONDS * sample_rate:
        return Score(None, f"shorter than {_STOI_SECONDS:.2f} s, too short for STOI")
    package = require("pystoi", extra="eval")
    with warnings.catch_warnings():
        # The package only warns, and returns 1e-5, where too little is left after silence is removed.
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return Score(float(package.stoi(reference, degraded, sample_rate, extended=extended)))
        except RuntimeWarning:
            return Score(None, "too little speech for STOI")
