"""Speech-like signals, a page of round trips and a headless browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.chromium import Chromium, find_browser

SAMPLE_RATE = 16_000


def syllables(seconds: float, sample_rate: int = SAMPLE_RATE, pitch: float = 120.0) -> NDArray[np.float32]:
    """Harmonics under a slow envelope with pauses: enough like speech for PESQ and STOI to score. [T]"""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    voice = sum(np.sin(2 * np.pi * pitch * k * time + k * k) / k for k in range(1, 40))
    envelope = np.clip(np.sin(2 * np.pi * 2.5 * time), 0.0, None) * (1.2 + np.sin(2 * np.pi * 0.4 * time))
    return (0.1 * envelope * voice).astype(np.float32)


def with_noise(signal: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add white noise of the given standard deviation."""
    return signal + (level * rng.standard_normal(signal.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A headless Chromium; without one the test is skipped, and the summary says so."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine: the listening page was not opened")
    with Chromium(program, Path(tmp_path_factory.mktemp("chromium"))) as chromium:
        yield chromium
