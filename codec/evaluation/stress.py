"""Sounds that are hard for a speech codec, made of clips of speech or of nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from codec.evaluation.mel import FloatArray

Samples = NDArray[np.float32]

SECONDS = 4.0
"""Length of what is made of nothing."""

_SEED = 6
_QUIET_DBFS = -40.0
_CLIPPING_GAIN_DB = 18.0
_NOISE_SNR_DB = 5.0
_REVERB_SECONDS = 0.8
_REVERB_RATIO_DB = 0.0
_MELODY_HERTZ = (220.0, 247.0, 277.0, 294.0, 330.0, 294.0, 247.0, 220.0)
_CHORDS_HERTZ = ((131, 165, 196, 262), (110, 165, 220, 277), (147, 185, 220, 294), (98, 196, 247, 294))


def quiet(clip: Samples, rate: int) -> Samples:
    """Speech [T] at -40 dBFS."""
    return _float32(clip / _rms(clip) * 10 ** (_QUIET_DBFS / 20))


def clipped(clip: Samples, rate: int) -> Samples:
    """Speech whose peak is 18 dB above full scale, cut there."""
    return _float32(np.clip(clip / np.abs(clip).max() * 10 ** (_CLIPPING_GAIN_DB / 20), -1.0, 1.0))


def noisy(clip: Samples, rate: int) -> Samples:
    """Speech in pink noise 5 dB below it."""
    spectrum = np.fft.rfft(np.random.default_rng(_SEED).standard_normal(len(clip)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), len(clip))
    return _within(clip + noise / _rms(noise) * _rms(clip) * 10 ** (-_NOISE_SNR_DB / 20))


def reverberant(clip: Samples, rate: int) -> Samples:
    """Speech in a room of 0.8 s reverberation time, as strong as the direct sound."""
    time = np.arange(round(_REVERB_SECONDS * rate)) / rate
    tail = np.random.default_rng(_SEED).standard_normal(len(time)) * 10 ** (-3.0 * time / _REVERB_SECONDS)
    tail *= 10 ** (-_REVERB_RATIO_DB / 20) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    size = len(clip) + len(tail)
    return _within(np.fft.irfft(np.fft.rfft(clip, size) * np.fft.rfft(tail, size), size)[: len(clip)])


def babble(clips: Sequence[Samples]) -> Samples:
    """Three speakers at once, as loud as each other and as long as the shortest."""
    voices = clips[:3]
    length = min(map(len, voices))
    return _within(sum((voice[:length] / _rms(voice) for voice in voices), np.zeros(length)) * 0.05)


def singing(rate: int) -> Samples:
    """A synthetic voice with vibrato on eight notes, two formants."""
    time = np.arange(round(SECONDS * rate)) / rate
    note = np.minimum((time * len(_MELODY_HERTZ) / SECONDS).astype(int), len(_MELODY_HERTZ) - 1)
    pitch = np.array(_MELODY_HERTZ)[note] * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = np.zeros(len(time))
    for harmonic in range(1, 24):
        hertz = harmonic * pitch
        gain = np.exp(-(((hertz - 700) / 300) ** 2)) + 0.6 * np.exp(-(((hertz - 1200) / 350) ** 2)) + 0.02
        voice += gain * np.sin(harmonic * phase) * (hertz < rate / 2)
    return _float32(0.5 * voice / np.abs(voice).max())


def music(rate: int) -> Samples:
    """Plucked chords over clicks of a drum."""
    time = np.arange(round(SECONDS * rate)) / rate
    generator = np.random.default_rng(_SEED)
    sound = np.zeros(len(time))
    for index, chord in enumerate(_CHORDS_HERTZ):
        since = time - index * SECONDS / len(_CHORDS_HERTZ)
        decay = np.where(since >= 0, np.exp(-3.0 * np.maximum(since, 0)), 0.0)
        for hertz in chord:
            for partial in range(1, 8):
                sound += decay * np.sin(2 * np.pi * partial * hertz * since) / partial
        hit = np.where(since >= 0, np.exp(-40.0 * np.maximum(since, 0)), 0.0)
        sound += 2.0 * hit * generator.standard_normal(len(time))
    return _float32(0.7 * sound / np.abs(sound).max())


def silent(rate: int) -> Samples:
    """Digital silence."""
    return np.zeros(round(SECONDS * rate), np.float32)


def constant(rate: int) -> Samples:
    """Direct current at half of full scale."""
    return np.full(round(SECONDS * rate), 0.5, np.float32)


def hum(rate: int) -> Samples:
    """50 Hz and two harmonics, at -20 dBFS."""
    time = np.arange(round(SECONDS * rate)) / rate
    sound = sum((np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3)), np.zeros(len(time)))
    return _float32(0.1 * sound / _rms(sound))


def square(rate: int) -> Samples:
    """A square wave of 440 Hz at full scale."""
    time = np.arange(round(SECONDS * rate)) / rate
    return _float32(np.where((440 * time) % 1.0 < 0.5, 1.0, -1.0))


def white(rate: int) -> Samples:
    """White noise that reaches full scale."""
    return _float32(np.random.default_rng(_SEED).uniform(-1.0, 1.0, round(SECONDS * rate)))


FROM_SPEECH: dict[str, Callable[[Samples, int], Samples]] = {
    "quiet speech, -40 dBFS": quiet,
    "clipped speech": clipped,
    "speech in pink noise, 5 dB": noisy,
    "reverberant speech, 0.8 s": reverberant,
}
"""What is done to each clip [T] at a rate in Hz, by name."""

SYNTHETIC: dict[str, Callable[[int], Samples]] = {
    "singing (synthetic)": singing,
    "music (synthetic)": music,
    "silence": silent,
    "direct current": constant,
    "50 Hz hum": hum,
    "square wave, full scale": square,
    "white noise, full scale": white,
}
"""What is made of nothing at a rate in Hz, by name."""


def _rms(audio: FloatArray) -> float:
    return max(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))), 1e-9)


def _within(audio: FloatArray) -> Samples:
    """Lowered to a peak of 0.99 where it is above that."""
    return _float32(audio * min(1.0, 0.99 / max(float(np.abs(audio).max()), 1e-9)))


def _float32(audio: FloatArray) -> Samples:
    return np.asarray(audio, np.float32)
