from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.errors import CodecError
from codec.evaluation import metrics
from codec.evaluation.metrics import METRICS, available, missing_package
from tests.evaluation.conftest import SAMPLE_RATE, syllables, with_noise

HIGHER_IS_BETTER = ["pesq_wb", "pesq_nb", "stoi", "estoi", "si_sdr", "psnr"]
MONOTONE = [*HIGHER_IS_BETTER, "log_mel_distance"]
PACKAGES = {"pesq_wb": "pesq", "pesq_nb": "pesq", "stoi": "pystoi", "estoi": "pystoi"}


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    elif name in METRICS and (package := missing_package(name)):
        pytest.skip(f"{name} is not measured here: {package} is not installed")


def value(name: str, reference: np.ndarray, degraded: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    score = METRICS[name](reference, degraded, sample_rate)
    assert score.value is not None, score.reason
    return score.value


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("pesq_wb", 4.644),
        ("pesq_nb", 4.549),
        ("stoi", 1.0),
        ("estoi", 1.0),
        ("si_sdr", math.inf),
        ("psnr", math.inf),
        ("log_mel_distance", 0.0),
    ],
)
def test_an_untouched_signal_gets_the_best_score(name: str, best: float) -> None:
    speech = syllables(4.0)
    assert value(name, speech, speech) == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize("name", MONOTONE)
def test_more_noise_scores_worse(name: str, rng: np.random.Generator) -> None:
    speech = syllables(4.0)
    scores = [value(name, speech, with_noise(speech, level, rng)) for level in (0.001, 0.01, 0.1)]
    assert scores == sorted(scores, reverse=name in HIGHER_IS_BETTER)
    assert len(set(scores)) == 3


def test_si_sdr_of_noise_at_right_angles_is_the_power_ratio(rng: np.random.Generator) -> None:
    speech = syllables(1.0).astype(np.float64)
    speech -= speech.mean()
    noise = rng.standard_normal(speech.size)
    noise -= noise.mean()
    noise -= (noise @ speech) / (speech @ speech) * speech
    noise *= np.sqrt(0.05 * (speech @ speech) / (noise @ noise))
    assert value("si_sdr", speech, speech + noise) == pytest.approx(10 * math.log10(20), abs=1e-9)


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1.0, 1.0))
def test_si_sdr_ignores_gain_and_offset(gain: float, offset: float) -> None:
    speech = syllables(0.5).astype(np.float64)
    degraded = speech + 0.01 * np.sin(np.arange(speech.size))
    expected = value("si_sdr", speech, degraded)
    assert value("si_sdr", speech, gain * degraded + offset) == pytest.approx(expected, abs=1e-5)


def test_log_mel_distance_of_half_the_amplitude_is_six_decibels(rng: np.random.Generator) -> None:
    noise = 0.1 * rng.standard_normal(SAMPLE_RATE)
    assert value("log_mel_distance", noise, 0.5 * noise) == pytest.approx(20 * math.log10(2), abs=1e-4)


@pytest.mark.parametrize("name", ["pesq_wb", "pesq_nb", "stoi"])
def test_other_sample_rates_are_resampled(name: str, rng: np.random.Generator) -> None:
    librosa = pytest.importorskip("librosa")
    speech = syllables(4.0)
    noisy = with_noise(speech, 0.01, rng)
    high = [librosa.resample(each, orig_sr=SAMPLE_RATE, target_sr=48_000) for each in (speech, noisy)]
    assert value(name, *high, 48_000) == pytest.approx(value(name, speech, noisy), abs=0.05)


def test_wideband_and_narrowband_are_told_apart(rng: np.random.Generator) -> None:
    pytest.importorskip("pesq")
    speech = syllables(4.0)
    noisy = with_noise(speech, 0.01, rng)
    assert value("pesq_nb", speech, noisy) > value("pesq_wb", speech, noisy) + 0.1


@pytest.mark.parametrize("name", [name for name in METRICS if name != "log_mel_distance"])
@pytest.mark.parametrize(
    ("reference", "degraded", "reason"),
    [
        (np.zeros(0), np.zeros(0), "the clip is empty"),
        (np.zeros(SAMPLE_RATE), syllables(1.0), "the original is silent"),
        (syllables(1.0), np.zeros(SAMPLE_RATE), "the decoded signal is silent"),
    ],
)
def test_silence_has_a_reason_instead_of_a_score(
    name: str, reference: np.ndarray, degraded: np.ndarray, reason: str
) -> None:
    score = METRICS[name](reference, degraded, SAMPLE_RATE)
    assert (score.value, score.reason) == (None, reason)


@pytest.mark.parametrize("name", ["pesq_wb", "pesq_nb", "stoi", "estoi", "visqol", "visqol_audio"])
@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_too_short_a_clip_has_a_reason_instead_of_a_score(name: str, samples: int) -> None:
    speech = syllables(1.0)[2000 : 2000 + samples]
    score = METRICS[name](speech, speech, SAMPLE_RATE)
    assert score.value is None
    assert score.reason is not None
    assert "too short" in score.reason


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_weighted_noise_is_a_power_ratio_at_any_rate(rate: int, rng: np.random.Generator) -> None:
    speech = syllables(2.0, rate).astype(np.float64)
    assert value("psnr", speech, 0.9 * speech, rate) == pytest.approx(20.0, abs=1e-6)
    noise = 1e-3 * rng.standard_normal(speech.size)
    half = value("psnr", speech, speech + noise, rate) - value("psnr", speech, speech + 2 * noise, rate)
    assert half == pytest.approx(20 * math.log10(2), abs=1e-6)


def test_weighted_noise_under_a_formant_counts_less() -> None:
    """Equal energy of noise where speech is strong and where it is weak."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    speech = syllables(2.0).astype(np.float64)
    low, high = (speech + 0.01 * np.sin(2 * np.pi * hertz * time) for hertz in (300, 6000))
    assert value("si_sdr", speech, low) == pytest.approx(value("si_sdr", speech, high), abs=0.3)
    assert value("psnr", speech, low) > value("psnr", speech, high) + 3.0


@pytest.mark.parametrize("name", ["visqol", "visqol_audio"])
def test_visqol_prefers_the_original(name: str, rng: np.random.Generator) -> None:
    speech = with_noise(syllables(2.0), 1e-3, rng)
    noisy = with_noise(speech, 0.05, rng)
    assert value(name, speech, speech) > value(name, speech, noisy) + 0.5


def test_dnsmos_hears_noise_without_the_original(rng: np.random.Generator) -> None:
    for package in ("speechmos", "onnxruntime", "librosa"):
        pytest.importorskip(package)
    speech = syllables(2.0)
    noisy = with_noise(speech, 0.1, rng)
    quiet = value("dnsmos", speech, speech)
    assert 1.0 <= value("dnsmos", speech, noisy) < quiet <= 5.0
    assert value("dnsmos", noisy, speech) == quiet


@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_a_click_in_silence_is_too_little_speech(name: str) -> None:
    clip = np.zeros(SAMPLE_RATE)
    clip[8000:8100] = 0.5
    assert METRICS[name](clip, clip, SAMPLE_RATE).reason == "too little speech for STOI"


@pytest.mark.parametrize("name", ["pesq_wb"])
def test_a_long_clip_is_scored_in_pieces(name: str, rng: np.random.Generator) -> None:
    """The reference implementation of PESQ crashes the process on more than about 50 utterances."""
    word = np.concatenate([syllables(0.5), np.zeros(8000, np.float32)])
    speech = with_noise(np.tile(word, 80), 1e-5, rng)
    noisy = with_noise(speech, 0.01, rng)
    piece = 8 * SAMPLE_RATE
    alone = value(name, speech[:piece], noisy[:piece])
    assert value(name, speech, noisy) == pytest.approx(alone, abs=0.1)


@pytest.mark.parametrize("name", ["pesq_wb"])
def test_speech_lost_from_one_piece_of_a_long_clip_is_reported(name: str) -> None:
    speech = syllables(40.0)
    lost = speech.copy()
    lost[: 20 * SAMPLE_RATE] = 0.0
    assert METRICS[name](speech, lost, SAMPLE_RATE).reason == "the decoded signal is silent"


@pytest.mark.parametrize("name", METRICS)
def test_signals_of_different_shape_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="one shape"):
        METRICS[name](syllables(1.0), syllables(1.0)[1:], SAMPLE_RATE)
    with pytest.raises(ValueError, match="one shape"):
        METRICS[name](np.zeros((100, 2)), np.zeros((100, 2)), SAMPLE_RATE)


def test_a_missing_package_is_told_before_and_at_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    missing_package.cache_clear()
    try:
        assert not available("pesq")
        assert not available("pesq_wb")
        assert available("si_sdr")
        with pytest.raises(CodecError, match=r"pip install 'codec\[pesq\]'"):
            metrics.pesq_wb(syllables(1.0), syllables(1.0), SAMPLE_RATE)
    finally:
        missing_package.cache_clear()
