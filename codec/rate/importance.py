"""How much the error of a frame matters to a listener, and which frames are but background."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codec.comfort import SOURCES

# Loudness grows with intensity to the power 0.2 to 0.3 (Zwicker and Fastl, Psychoacoustics, chapter 8); of
# 0.1 to 0.5, this weight gave the best PESQ.
_EXPONENT = 0.15
# Decibels below the level of speech under which nothing is less important still.
_RANGE = 60.0
# The level of speech is that of its loudest frames. It falls by so many decibels a second, and no further
# than that of quiet recordings, so that pauses do not become loud.
_DECAY = 0.5
_LEAST_LEVEL = -35.0
# Background lies so many decibels below the level, and stays within so many of the last frames sent.
_QUIET = 36.0
_STEADY = 6.0
# What is below this is silence in any recording.
_INAUDIBLE = -85.0
# Comfort noise counts as good as codes with this mean square error.
_NOISE_ERROR = 0.1


class Weights(NamedTuple):
    """Of the frames of a window: ``importance`` ``[C, F]``, above 0 and up to 1; ``noise`` ``[C, F]``, what
    it costs to play comfort noise instead, as an error to be weighted: infinite where that is no choice."""

    importance: NDArray[np.float64]
    noise: NDArray[np.float64]


class Importance:
    """Follows the level of one stream.

    Args:
        frame_rate: frames a second.
        restart: every so many frames comfort noise needs sources anew: a block, or what a late listener
            may miss.
    """

    def __init__(self, frame_rate: float, restart: int) -> None:
        self._decay = _DECAY / frame_rate
        self._restart = restart
        self._level = _LEAST_LEVEL
        self._frames = 0
        self._previous: NDArray[np.float64] | None = None
        self._quiet_for: list[int] = []
        self._sent: list[list[float]] = []

    def weigh(self, energy: NDArray[np.float64]) -> Weights:
        """Judge the next frames by the mean square ``[C, F]`` of their audio, full scale being 1."""
        if self._previous is None:
            self._previous = np.zeros(len(energy))
            self._quiet_for = [0] * len(energy)
            self._sent = [[] for _ in energy]
        # A frame sounds over two hops.
        before = np.concatenate([self._previous[:, None], energy[:, :-1]], axis=1)
        self._previous = energy[:, -1].copy()
        # Rounded, so that the last bits of a mean decide nothing.
        level = np.round(10.0 * np.log10((energy + before) / 2 + 1e-10), 2)
        frames = energy.shape[1]
        loudest = float(level.max())
        self._level = max(self._level - self._decay * frames, loudest, _LEAST_LEVEL)
        below = np.minimum(self._level - level, _RANGE)
        noise = np.stack([self._noise(channel, row) for channel, row in enumerate(level)])
        self._frames += frames
        return Weights(10.0 ** (-_EXPONENT * below / 10.0), noise)

    def _noise(self, channel: int, level: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Weights`: background that comes after enough frames like it."""
        sent = self._sent[channel]
        errors = []
        for frame, value in enumerate(level.tolist()):
            if (self._frames + frame) % self._restart == 0:
                self._quiet_for[channel] = 0
                sent.clear()
            inaudible = value < _INAUDIBLE
            quiet = inaudible or value < self._level - _QUIET
            steady = len(sent) == SOURCES and abs(value - sum(sent) / SOURCES) < _STEADY
            self._quiet_for[channel] = self._quiet_for[channel] + 1 if quiet else 0
            ready = self._quiet_for[channel] > SOURCES and (steady or inaudible)
            errors.append((0.0 if inaudible else _NOISE_ERROR) if ready else np.inf)
            if not ready:
                sent.append(value)
                del sent[:-SOURCES]
        return np.array(errors)
