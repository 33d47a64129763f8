"""Resampling in blocks: the same samples for any way of cutting the input, bit for bit."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from codec.errors import UsageError
from codec.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

Samples = NDArray[np.float32]

# The transition band lies between 0.9 and 1.0 of the lower Nyquist frequency.
_CUTOFF = 0.95
_TRANSITION = 0.1
_STOP_BAND_DB = 96.0
# The filter is tabulated at this many positions between two input samples at most; where the ratio of the
# rates asks for more, it is interpolated, with an error below -120 dB.
_MAX_PHASES = 1024
# Products held at once: small enough for the caches.
_BLOCK_PRODUCTS = 1 << 17


class Resampler:
    """Converts a stream from one sample rate to another with a linear-phase windowed-sinc filter.

    The filter is a sinc under a Kaiser window (J. F. Kaiser, "Nonrecursive digital filter design using the
    I0-sinh window function", ISCAS 1974): flat up to 0.9 of the lower Nyquist frequency, at least 80 dB down
    above that frequency. Its delay is removed: output sample `n` lies at input time `n * in_rate / out_rate`,
    and `ceil(N * out_rate / in_rate)` samples come out for `N` put in. Memory does not grow with the stream.

    Args:
        in_rate: Hz, 8000 to 192000.
        out_rate: Hz, 8000 to 192000; equal rates pass the samples through.
        channels: each is filtered by itself.

    Raises:
        UsageError: a rate is out of range.
    """

    def __init__(self, in_rate: int, out_rate: int, channels: int) -> None:
        for rate in (in_rate, out_rate):
            if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE or rate != int(rate):
                raise UsageError(
                    f"{rate} Hz cannot be resampled: give {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, whole"
                )
        self.in_rate = in_rate
        self.out_rate = out_rate
        self.channels = channels
        divisor = gcd(in_rate, out_rate)
        self._up, self._down = out_rate // divisor, in_rate // divisor
        self._table = _filter_table(self._up, self._down)
        self._half = 0 if in_rate == out_rate else self._table.shape[1] // 2
        # Input sample i is at column i - self._start; the stream begins after silence.
        self._buffer = np.zeros((channels, max(self._half - 1, 0)), np.float32)
        self._start = -self._buffer.shape[1]
        self._produced = 0

    @property
    def delay(self) -> float:
        """How far the filter looks ahead, in seconds: a pushed sample has come out whole this much later."""
        return self._half / self.in_rate

    def push(self, pcm: Samples) -> Samples:
        """Take samples `[n, C]` and return those that they complete, `[m, C]`.

        Raises:
            ValueError: the array has another number of channels.
        """
        if pcm.ndim != 2 or pcm.shape[1] != self.channels:
            raise ValueError(f"expected samples [n, {self.channels}], got {list(pcm.shape)}")
        if not self._half:
            return pcm.astype(np.float32)
        self._buffer = np.concatenate([self._buffer, pcm.T.astype(np.float32)], axis=1)
        taken = self._start + self._buffer.shape[1]
        end = -(-max(taken - self._half, 0) * self._up // self._down)
        output = np.empty((end - self._produced, self.channels), np.float32)
        rows = max(1, _BLOCK_PRODUCTS // self._table.shape[1])
        for start in range(self._produced, end, rows):
            stop = min(start + rows, end)
            output[start - self._produced : stop - self._produced] = self._compute(start, stop)
        self._produced = end
        self._forget()
        return output

    def flush(self) -> Samples:
        """End the stream: the samples `[m, C]` that waited for input behind its end, which is silence."""
        return self.push(np.zeros((self._half, self.channels), np.float32))

    def _compute(self, start: int, stop: int) -> Samples:
        """Output samples start to stop, `[stop - start, C]`."""
        position = np.arange(start, stop, dtype=np.int64) * self._down
        first = position // self._up - self._half + 1 - self._start
        coefficients = self._coefficients(position % self._up)
        output = np.empty((stop - start, self.channels), np.float32)
        for channel, samples in enumerate(self._buffer):
            windows = sliding_window_view(samples, self._table.shape[1])[first]
            # einsum sums each row by itself, in an order that its length alone decides; a matrix product
            # would choose its order by the number of rows as well.
            output[:, channel] = np.einsum("nk,nk->n", windows, coefficients)
        return output

    def _coefficients(self, phase: NDArray[np.int64]) -> Samples:
        """The filter `[n, taps]` at phase / up of the way to the next sample; `[1, taps]` for up = 1."""
        table = self._table
        if self._up == 1:
            return table[:1]
        if self._up <= _MAX_PHASES:
            return table[phase]
        row, rest = np.divmod(phase * _MAX_PHASES, self._up)
        weight = (rest / self._up).astype(np.float32)[:, None]
        blend: Samples = table[row] * (1 - weight) + table[row + 1] * weight
        return blend

    def _forget(self) -> None:
        """Drop what no further output sample needs."""
        needed = self._produced * self._down // self._up - self._half + 1
        unused = max(needed - self._start, 0)
        self._buffer = self._buffer[:, unused:].copy()
        self._start += unused


@lru_cache(maxsize=8)
def _filter_table(up: int, down: int) -> Samples:
    """The filter `[phases + 1, taps]` at even steps from one input sample to the next, both included.

    Tap `k` weighs the input sample `k - taps / 2 + 1` samples away from the last one before the output.
    """
    if up == down:
        return np.zeros((1, 0), np.float32)
    # Frequencies in units of the input's Nyquist frequency; the lower of both rates sets the band.
    band = min(1.0, up / down)
    # Kaiser's formulas for the length and shape that reach an attenuation in a given transition band.
    half = int(np.ceil((_STOP_BAND_DB - 7.95) / (2.285 * np.pi * _TRANSITION * band) / 2))
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    phases = min(up, _MAX_PHASES)
    fraction = np.arange(phases + 1)[:, None] / phases
    distance = fraction + (half - 1 - np.arange(2 * half))
    window = np.i0(beta * np.sqrt(np.maximum(1.0 - (distance / half) ** 2, 0.0))) / np.i0(beta)
    table = np.sinc(_CUTOFF * band * distance) * np.where(np.abs(distance) <= half, window, 0.0)
    # Every position passes a constant unchanged.
    table /= table.sum(axis=1, keepdims=True)
    rounded: Samples = table.astype(np.float32)
    rounded.setflags(write=False)
    return rounded
