"""Metrics that were fitted to listening tests, through the packages that carry their models.

ViSQOL compares with the original (Chinen et al., QoMEX 2020); DNSMOS hears the decoded signal alone (Reddy et
al., ICASSP 2022), so that it may score clean speech that says something else above the original.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codec.evaluation.mel import FloatArray
from codec.evaluation.scores import Score, as_pair, silence
from codec.extras import require

# ViSQOL cuts the spectrogram into patches, and finds none in less than this many seconds.
_VISQOL_SECONDS = {"speech": 0.8, "audio": 1.0}
_VISQOL_RATES = {"speech": 16_000, "audio": 48_000}
_DNSMOS_RATE = 16_000
_DNSMOS_SECONDS = 9.01


def visqol(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """ViSQOL v3 in speech mode at 16 kHz, MOS-LQO 1 to 5, by the deep lattice map.

    Not monotone in noise. Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    return _visqol(reference, degraded, sample_rate, "speech")


def visqol_audio(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """ViSQOL v3 in audio mode at 48 kHz, MOS-LQO 1 to 4.75, by the support vector map.

    Raises ``ValueError`` for arrays that are not two of one shape [T].
    """
    return _visqol(reference, degraded, sample_rate, "audio")


def dnsmos(reference: FloatArray, degraded: FloatArray, sample_rate: int) -> Score:
    """DNSMOS P.835, the overall score 1 to 5 of the decoded signal by itself, at 16 kHz.

    The mean over windows of 9.01 s one after the other; the signal is repeated until it fills the last one.
    (The authors' script moves the window by 1 s.) Raises ``ValueError`` for arrays that are not two of one
    shape [T].
    """
    reference, degraded = as_pair(reference, degraded)
    silent = silence(reference, degraded)
    if silent:
        return silent
    audio = np.clip(_resample(degraded, sample_rate, _DNSMOS_RATE), -1.0, 1.0)
    length = int(_DNSMOS_SECONDS * _DNSMOS_RATE)
    windows = math.ceil(len(audio) / length)
    scorer = _dnsmos_model()
    frames = np.resize(audio, (windows, length))
    return Score(float(np.mean([scorer(frame, _DNSMOS_RATE, False)["ovrl_mos"] for frame in frames])))


def _visqol(
    reference: FloatArray, degraded: FloatArray, sample_rate: int, mode: Literal["speech", "audio"]
) -> Score:
    reference, degraded = as_pair(reference, degraded)
    silent = silence(reference, degraded)
    if silent:
        return silent
    if len(reference) < _VISQOL_SECONDS[mode] * sample_rate:
        return Score(None, f"shorter than {_VISQOL_SECONDS[mode]:g} s, too short for ViSQOL")
    rate = _VISQOL_RATES[mode]
    pair = [_resample(signal, sample_rate, rate) for signal in (reference, degraded)]
    value = float(_visqol_api(mode).measure_from_arrays(*pair, rate).moslqo)
    return Score(value) if math.isfinite(value) else Score(None, "ViSQOL gives no number")


@cache
def _visqol_api(mode: Literal["speech", "audio"]) -> Any:
    """The model of one mode, once a process."""
    api = require("visqol", extra="mos").VisqolApi()
    # The polynomial map, which the package falls back to, is on another scale: better no figure.
    api.create(mode=mode, use_lattice_model=mode == "speech")
    return api


@cache
def _dnsmos_model() -> Any:
    """The package's scorer with sessions of one thread, since clips are scored side by side."""
    runtime = require("onnxruntime", extra="mos")
    module = require("speechmos.dnsmos", extra="mos")
    folder = Path(str(module.__file__)).parent / "dnsmos_models"
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    scorer = module.DNSMOS.__new__(module.DNSMOS)
    scorer.onnx_sess = runtime.InferenceSession(folder / "sig_bak_ovr.onnx", options)
    scorer.p808_onnx_sess = runtime.InferenceSession(folder / "model_v8.onnx", options)
    return scorer


def _resample(audio: FloatArray, from_rate: int, to_rate: int) -> FloatArray:
    if from_rate == to_rate:
        return audio
    divisor = math.gcd(from_rate, to_rate)
    poly = require("scipy.signal", extra="eval").resample_poly
    return np.asarray(poly(audio, to_rate // divisor, from_rate // divisor))
