"""The speech envelope codec: bytes and back, its rate, its tables, and sound that is hard for it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codec.errors import CodecError, UsageError
from codec.quantize import ResidualVQ
from codec.training.validation import load_clips
from recipes.speech_envelope.coder import SAMPLE_RATE, EnvelopeCodec
from recipes.speech_envelope.lines import dequantize, quantize
from recipes.speech_envelope.model import EnvelopeModel, LogisticMixture
from recipes.speech_envelope.perceptual import audio_of, lines_of, measured_weights, psnr
from recipes.speech_envelope.tables import DITHERS, NUM_STEPS, STEPS, LineTables

Audio = NDArray[np.float32]

CLIPS = Path(__file__).parent.parent / "data" / "clips"
TIME = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE


@pytest.fixture(scope="module")
def speech() -> Audio:
    return load_clips([CLIPS], SAMPLE_RATE)[0].audio


@pytest.fixture(scope="module")
def model() -> EnvelopeModel:
    """A model that only its start has fitted to speech: the codec is to be right with any."""
    torch.manual_seed(0)
    model = EnvelopeModel(ResidualVQ(16, 4, 16), components=3)
    lines = torch.cat([lines_of(clip.audio) for clip in load_clips([CLIPS], SAMPLE_RATE)])
    with torch.no_grad():
        model.quantizer.fit_kmeans(model.levels(lines))
    return model


@pytest.fixture(scope="module")
def codec(model: EnvelopeModel) -> EnvelopeCodec:
    return EnvelopeCodec(model)


@pytest.fixture(scope="module")
def tables(model: EnvelopeModel) -> LineTables:
    shares, scales = (each.detach().double().numpy() for each in model.mixture.shares_and_scales())
    return LineTables(shares, scales)


@pytest.mark.parametrize("length", [0, 1, 159, 160, 161, 319, 320, 16_001])
def test_decoded_sound_is_as_long_as_the_original(codec: EnvelopeCodec, speech: Audio, length: int) -> None:
    decoded = codec.decode(codec.encode(speech[:length], SAMPLE_RATE, 8000))
    assert decoded.shape == (length,)
    assert decoded.dtype == np.float32
    assert np.isfinite(decoded).all()


def test_quality_rises_with_the_bitrate_and_the_size_is_what_was_asked_for(
    codec: EnvelopeCodec, speech: Audio
) -> None:
    ratios = []
    for bitrate in (8000, 16_400, 32_000):
        data = codec.encode(speech, SAMPLE_RATE, bitrate)
        assert len(data) * 8 * SAMPLE_RATE / len(speech) == pytest.approx(bitrate, rel=0.015)
        ratios.append(psnr(speech, codec.decode(data))[0].value)
    assert ratios[0] > 3.0
    assert ratios == sorted(ratios)


def test_bytes_and_a_saved_model_are_enough_to_decode(
    codec: EnvelopeCodec, model: EnvelopeModel, speech: Audio
) -> None:
    data = codec.encode(speech[:16_000], SAMPLE_RATE, 13_200)
    other = EnvelopeModel(ResidualVQ(16, 4, 16), components=3)
    other.load_state_dict(model.state_dict())
    assert np.array_equal(EnvelopeCodec(other).decode(data), codec.decode(data))


@pytest.mark.parametrize("bitrate", [8000, 32_000])
def test_silence_stays_silent(codec: EnvelopeCodec, bitrate: int) -> None:
    silence = np.zeros(16_000, np.float32)
    data = codec.encode(silence, SAMPLE_RATE, bitrate)
    assert len(data) < 1.05 * bitrate / 8
    assert np.abs(codec.decode(data)).max() < 1e-3


def test_a_gap_of_digital_zeros_in_speech_stays_quiet(codec: EnvelopeCodec, speech: Audio) -> None:
    gap = speech.copy()
    gap[16_000:24_000] = 0.0
    decoded = codec.decode(codec.encode(gap, SAMPLE_RATE, 16_400))
    assert np.abs(decoded[16_480:23_520]).max() < 1e-3
    ratio = psnr(gap, decoded)[0].value
    assert ratio is not None
    assert ratio > 5.0


@pytest.mark.parametrize(
    "sound",
    [
        np.sin(2 * math.pi * 1000.0 * TIME),
        np.sin(2 * math.pi * 7300.0 * TIME),
        np.sign(np.sin(1500.0 * TIME)),
    ],
    ids=["1 kHz", "7.3 kHz", "square"],
)
def test_full_scale_tones_are_coded_within_their_bits(codec: EnvelopeCodec, sound: Audio) -> None:
    sound = sound.astype(np.float32)
    data = codec.encode(sound, SAMPLE_RATE, 16_400)
    assert len(data) * 8 < 1.03 * 16_400
    decoded = codec.decode(data)
    error = float(np.square(decoded - sound).mean() / np.square(sound).mean())
    assert error < 0.2


def test_noise_as_loud_as_can_be_fits_into_its_bits(codec: EnvelopeCodec, rng: np.random.Generator) -> None:
    noise = rng.uniform(-1.0, 1.0, 16_000).astype(np.float32)
    assert len(codec.encode(noise, SAMPLE_RATE, 8000)) * 8 < 1.05 * 8000


def test_what_cannot_be_coded_is_refused_in_one_sentence(codec: EnvelopeCodec, speech: Audio) -> None:
    with pytest.raises(UsageError, match="30 bits to a frame, of which the envelope takes 16: choose 2,000"):
        codec.encode(speech, SAMPLE_RATE, 1500)
    with pytest.raises(UsageError, match="choose"):
        codec.encode(speech, SAMPLE_RATE, 1e7)
    with pytest.raises(CodecError, match="at 16,000 Hz, not 8,000 Hz: resample"):
        codec.encode(speech, 8000, 8000)
    with pytest.raises(CodecError, match="one channel"):
        codec.encode(np.stack([speech, speech], axis=1), SAMPLE_RATE, 8000)
    with pytest.raises(CodecError, match="NaN"):
        codec.encode(np.array([0.0, np.nan], np.float32), SAMPLE_RATE, 8000)


def test_the_lowest_bitrate_that_is_not_refused_is_kept(codec: EnvelopeCodec, speech: Audio) -> None:
    data = codec.encode(speech, SAMPLE_RATE, 2000)
    assert len(codec.decode(data)) == len(speech)
    assert len(data) * 8 * SAMPLE_RATE / len(speech) < 2000 * 1.03


def test_damaged_bytes_are_refused_or_decode_to_the_length_they_tell(
    codec: EnvelopeCodec, speech: Audio, rng: np.random.Generator
) -> None:
    data = codec.encode(speech[:8000], SAMPLE_RATE, 8000)
    for length in (0, 5, 20, len(data) - 30):
        with pytest.raises(CodecError):
            codec.decode(data[:length])
    refused = 0
    for place in rng.integers(0, len(data), 40):
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        try:
            decoded = codec.decode(bytes(damaged))
        except CodecError:
            refused += 1
        else:
            assert len(decoded) == int.from_bytes(damaged[:4], "little")
    assert refused > 0


def test_all_tables_are_whole_and_cost_what_the_density_tells(
    model: EnvelopeModel, tables: LineTables
) -> None:
    for step in (0, 40, 100, NUM_STEPS - 1):
        limit = int(tables.limits[step])
        for dither in range(len(DITHERS)):
            origin = int(tables.origins[step, dither])
            whole = slice(origin - limit, origin + limit + 1)
            assert tables.sizes[whole].sum() == 1 << 16
            assert tables.sizes[whole].min() >= 1
            assert tables.starts[origin - limit] == 0
    fine, dither = 20, 3
    offsets = np.arange(-8, 9)
    z = torch.tensor((offsets - DITHERS[dither]) * STEPS[fine])
    bits = -(model.mixture.log2_density(z) + math.log2(STEPS[fine])).detach().numpy()
    assert tables.costs[tables.origins[fine, dither] + offsets] == pytest.approx(bits, abs=0.15)
    assert (np.diff(tables.expected) <= 0).all()


def test_lines_far_outside_the_tables_survive(tables: LineTables) -> None:
    scaled = np.array([0.0, 1e5, -3e3, 0.2])
    steps, dithers = np.array([30, 30, 50, 0]), np.array([0, 5, 15, 8])
    values = quantize(scaled, steps, dithers, tables)
    assert values.escaped.tolist() == [False, True, True, False]
    assert np.abs(dequantize(values, steps, dithers, tables) - scaled).max() <= STEPS[50] / 2


def test_decoded_values_lie_within_their_cells(tables: LineTables, rng: np.random.Generator) -> None:
    scaled = rng.normal(size=5000)
    steps, dithers = rng.integers(0, 70, 5000), rng.integers(0, len(DITHERS), 5000)
    decoded = dequantize(quantize(scaled, steps, dithers, tables), steps, dithers, tables)
    assert (np.abs(decoded - scaled) <= STEPS[steps] * (1 + 1e-6)).all()


def test_the_mixture_is_a_density_of_variance_one_whatever_its_scales() -> None:
    mixture = LogisticMixture(3)
    with torch.no_grad():
        mixture.log_scales += 2.0
    z = torch.linspace(-60, 60, 400_001)
    density = torch.exp2(mixture.log2_density(z).detach()).double()
    assert float(torch.trapezoid(density, z)) == pytest.approx(1.0, abs=1e-3)
    assert float(torch.trapezoid(density * z**2, z)) == pytest.approx(1.0, rel=1e-2)


def test_neither_a_smaller_nor_a_larger_envelope_wins(model: EnvelopeModel, speech: Audio) -> None:
    lines, other = lines_of(speech), EnvelopeModel(ResidualVQ(16, 4, 16, estimator="ste"), components=3)
    other.load_state_dict(model.state_dict())
    losses = []
    for shift in (-3.0, 0.0, 3.0):
        with torch.no_grad():
            other.log_synthesis.copy_(model.log_synthesis + shift)
            losses.append(float(other(lines)[0]))
    assert losses[1] < min(losses[0], losses[2]) - 0.3


def test_the_transform_gives_sound_back_in_place(speech: Audio) -> None:
    assert np.abs(audio_of(lines_of(speech), len(speech)) - speech).max() < 1e-5


def test_the_ratio_of_white_sounds_is_that_of_their_powers(rng: np.random.Generator) -> None:
    sound = rng.normal(size=16_000).astype(np.float32)
    noisy = sound + 0.1 * rng.normal(size=16_000).astype(np.float32)
    for score in psnr(sound, noisy):
        assert score.value == pytest.approx(20.0, abs=1.0)
    assert psnr(np.zeros(16_000, np.float32), noisy)[0].reason == "the original is silent"


def test_noise_counts_less_where_the_sound_is_strong() -> None:
    spectrum = np.full((1, 320), 1e-4)
    spectrum[0, 100:110] = 1.0
    weight = measured_weights(spectrum)[0]
    assert weight[105] < 0.5 * weight[[40, 200, 300]].min()
