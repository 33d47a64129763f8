"""What is common to all other codecs that a model is measured beside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Coded:
    """What came of a mono signal: ``samples`` float32 [T] at ``sample_rate`` Hz, sizes, processor times."""

    samples: NDArray[np.float32]
    sample_rate: int
    file_bytes: int
    payload_bytes: int
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True, kw_only=True)
class Peer(ABC):
    """One codec.

    Attributes:
        name: how options and tables call it.
        latency_ms: algorithmic latency, as its documents say; None where it needs the whole sound.
        rates: kbit/s it can be asked for, None for any from ``lowest`` on.
        lowest: the lowest kbit/s it makes sense at.
        sample_rate: Hz it works at.
        delay: samples at that rate by which decoded sound comes late.
        hop: samples at that rate that it codes together; fewer at the end would be lost.
    """

    name: str
    latency_ms: float | None
    rates: tuple[float, ...] | None = None
    lowest: float = 0.0
    sample_rate: int = 16_000
    delay: int = 0
    hop: int = 1

    @abstractmethod
    def missing(self) -> str | None:
        """Say in a few words what is not installed; None where everything is."""

    @abstractmethod
    def code(self, samples: NDArray[np.float32], kbps: float, folder: Path) -> Coded:
        """Encode and decode float32 [T] at ``sample_rate``; files on the way go to ``folder``.

        Raises:
            CodecError: it fails.
        """

    def rates_for(self, wanted: list[float]) -> list[float]:
        """The rates in kbit/s to measure beside those of a model: the same, or the nearest it has."""
        if self.rates is None:
            return [rate for rate in wanted if rate >= self.lowest]
        rates = self.rates
        return sorted({min(rates, key=lambda rate: abs(rate - each)) for each in wanted})
