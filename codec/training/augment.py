"""Augmentation of training segments: what a segment may go through before the codec sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.errors import CodecError
from codec.training.clips import Samples

# Samples beyond this are not made by any gain, so that 16-bit playback of a target never clips.
PEAK = 0.99

MARGIN = 256  # samples cut off both ends of a block that went through the Fourier domain
BLOCK = 64  # transforms are of multiples of it: other lengths may take several times as long
TONE_POINTS = 9  # of a random frequency response: 1 kHz apart at 16 kHz, about the width of a formant
TAPER = 128  # samples that fade at the ends of a block, so that their jump does not ring into it

_RAMP = (np.sin(np.linspace(0.0, np.pi / 2.0, TAPER)) ** 2).astype(np.float32)


@dataclass(frozen=True)
class AugmentConfig:
    """How segments are varied. Probabilities are per segment; ranges are uniform.

    gain_db: change of level in dB; the upper end gives way where a sample would exceed 0.99.
    noise_probability, noise_snr_db: mixing of noise from the noise source, at a signal-to-noise ratio in dB.
    noise_in_target: the target holds the noise too (a codec codes what it hears); False trains a denoiser.
    speed_probability, speed: change of speed and pitch together, as a factor of speed.
    equalize_probability, equalize_db: a smooth random frequency response within +- so many dB.
    reverb_probability, reverb_seconds, reverb_ratio_db: rooms whose sound falls by 60 dB in so many seconds,
    the direct sound so many dB above the reflections. The target holds them too.
    hum_probability, hum_ratio_db: hum of the mains at 50 or 60 Hz, mixed in so many dB below the sound, or
    above it where that is negative; `noise_in_target` holds for it as well.
    clip_probability, clip_share: samples cut off beyond such a share of the segment's peak, as loud
    recordings are; the target too, unless it is without the noise.
    """

    gain_db: tuple[float, float] = (-12.0, 6.0)
    noise_probability: float = 0.1
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    noise_in_target: bool = True
    speed_probability: float = 0.0
    speed: tuple[float, float] = (0.85, 1.15)
    equalize_probability: float = 0.0
    equalize_db: float = 6.0
    reverb_probability: float = 0.0
    reverb_seconds: tuple[float, float] = (0.1, 0.6)
    reverb_ratio_db: tuple[float, float] = (0.0, 15.0)
    hum_probability: float = 0.0
    hum_ratio_db: tuple[float, float] = (-20.0, 20.0)
    clip_probability: float = 0.0
    clip_share: tuple[float, float] = (0.3, 0.9)

    def __post_init__(self) -> None:
        for name in (
            "noise_probability",
            "speed_probability",
            "equalize_probability",
            "reverb_probability",
            "hum_probability",
            "clip_probability",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise CodecError(f"{name} must lie in [0, 1], not {getattr(self, name)}")
        for name in (
            "gain_db",
            "noise_snr_db",
            "speed",
            "reverb_seconds",
            "reverb_ratio_db",
            "hum_ratio_db",
            "clip_share",
        ):
            low, high = getattr(self, name)
            if not -math.inf < low <= high < math.inf:
                raise CodecError(f"{name} must be two numbers, the smaller first, not {low} and {high}")
        if not 0.5 <= self.speed[0] <= self.speed[1] <= 2.0:
            raise CodecError(f"speed must lie in [0.5, 2], not {self.speed[0]} to {self.speed[1]}")
        if not 0.01 <= self.reverb_seconds[0] <= self.reverb_seconds[1] <= 5.0:
            raise CodecError(
                f"reverb_seconds must lie in [0.01, 5], not {self.reverb_seconds[0]} to"
                f" {self.reverb_seconds[1]}"
            )
        if not 0.0 < self.clip_share[0] <= self.clip_share[1] <= 1.0:
            raise CodecError(f"clip_share must lie above 0 and at most at 1, not {self.clip_share}")
        if not 0.0 <= self.equalize_db < math.inf:
            raise CodecError(f"equalize_db must be 0 or more, not {self.equalize_db}")


def random_gain(x: Samples, config: AugmentConfig, rng: np.random.Generator) -> float:
    """A factor for samples `x` [T], drawn in dB and lowered where the peak would exceed `PEAK`."""
    gain = math.pow(10.0, rng.uniform(*config.gain_db) / 20.0)
    peak = float(np.abs(x).max(initial=0.0))
    return min(gain, PEAK / peak) if peak > 0.0 else gain


def noise_factor(x: Samples, noise: Samples, snr_db: float) -> float:
    """The factor that brings `noise` [T] to `snr_db` dB below `x` [T] in energy; 0 where either is silent."""
    energy = float(np.dot(x, x))
    noise_energy = float(np.dot(noise, noise))
    if energy == 0.0 or noise_energy == 0.0:
        return 0.0
    return math.sqrt(energy / noise_energy) * math.pow(10.0, -snr_db / 20.0)


def speed_and_tone(x: Samples, num_out: int, response_db: NDArray[np.float64] | None) -> Samples:
    """Resample `x` [T] to [num_out] and apply a frequency response, in one pass through the Fourier domain.

    response_db: gain in dB at points spaced evenly from 0 Hz to half the rate of the output, or None for
    none. Exactly band limited. The ends of the block are faded and wrap around, so the caller cuts a margin
    of at least 128 samples of the input off both. Quick where T is a product of small numbers.
    """
    x = x.copy()
    x[:TAPER] *= _RAMP
    x[-TAPER:] *= _RAMP[::-1]
    spectrum = np.fft.rfft(x)
    bins = num_out // 2 + 1
    spectrum = np.pad(spectrum[:bins], (0, max(0, bins - len(spectrum))))
    if response_db is not None:
        points = np.linspace(0.0, len(response_db) - 1.0, bins)
        curve = np.interp(points, np.arange(len(response_db)), response_db)
        spectrum = spectrum * 10.0 ** (curve / 20.0)
    return (np.fft.irfft(spectrum, num_out) * (num_out / len(x))).astype(np.float32)
