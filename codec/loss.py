"""Simulated networks: which packets of a stream get lost.

A simulator is an endless iterator of booleans, one for each packet in turn, True where it is lost. Equal
arguments give equal losses on every machine, and a copy (``copy.deepcopy``) goes on as the original does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from codec.errors import CodecError, UsageError

_MAX_PATTERN_BYTES = 1 << 24
_KEPT, _LOST = "0.", "1x"


class UniformLoss(Iterator[bool]):
    """Each packet is lost with one probability, whatever happened to the others.

    Args:
        rate: share of lost packets, 0 to 1.
        seed: of the generator.

    Raises:
        UsageError: the rate is out of range.
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        _check_rate(rate)
        self._rate = rate
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def __next__(self) -> bool:
        """Whether the next packet is lost."""
        return self._generator.random() < self._rate


class GilbertLoss(Iterator[bool]):
    """Packets are lost in bursts: a chain of a good and a bad state, where the bad one loses everything.

    E. N. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39, 1960. A burst ends
    with the probability ``1 / mean_burst`` at each packet, and begins so often that ``rate`` of all are lost.

    Args:
        rate: share of lost packets, 0 to 1.
        mean_burst: mean length of a burst in packets, at least 1.
        seed: of the generator.

    Raises:
        UsageError: a number is out of range, or bursts of this length are too short for such a rate.
    """

    def __init__(self, rate: float, mean_burst: float, seed: int = 0) -> None:
        _check_rate(rate)
        if not 1 <= mean_burst < float("inf"):
            raise UsageError(f"the mean length of a burst must be at least 1 packet, not {mean_burst:g}")
        shortest = rate / (1 - rate) if rate < 1 else 1.0
        if mean_burst < shortest:
            raise UsageError(
                f"bursts of {mean_burst:g} packets cannot lose {rate:g} of all: give {shortest:g}"
            )
        self._leave = 1 / mean_burst if rate < 1 else 0.0
        self._enter = shortest / mean_burst
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._next = self._generator.random() < rate

    def __next__(self) -> bool:
        """Whether the next packet is lost."""
        lost, chance = self._next, self._generator.random()
        self._next = chance >= self._leave if lost else chance < self._enter
        return lost


class PatternLoss(Iterator[bool]):
    """Given losses, from their start again when they are over.

    Args:
        pattern: True for each lost packet.

    Raises:
        UsageError: the pattern is empty.
    """

    def __init__(self, pattern: Iterable[bool]) -> None:
        self._pattern = tuple(bool(lost) for lost in pattern)
        if not self._pattern:
            raise UsageError("a pattern of losses needs at least one packet")
        self._at = -1

    def __next__(self) -> bool:
        """Whether the next packet is lost."""
        self._at = (self._at + 1) % len(self._pattern)
        return self._pattern[self._at]


def read_pattern(path: str | Path) -> list[bool]:
    """Read a pattern of losses from a text file.

    One character stands for one packet: ``1`` or ``x`` for a lost one, ``0`` or ``.`` for one that arrives.
    White space means nothing, and neither does what follows a ``#`` in its line.

    Raises:
        CodecError: the file cannot be read, holds something else, or no packet at all.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_PATTERN_BYTES + 1)
    except OSError as error:
        raise CodecError(f"{path} cannot be read ({error.strerror}): check its name") from error
    if len(data) > _MAX_PATTERN_BYTES:
        raise CodecError(f"{path} is longer than {_MAX_PATTERN_BYTES} bytes: is it a pattern of losses?")
    text = "".join(line.partition("#")[0] for line in data.decode("latin-1").splitlines())
    marks = "".join(text.split()).lower()
    wrong = set(marks) - set(_KEPT + _LOST)
    if wrong or not marks:
        found = f"has {min(wrong)!r} in it" if wrong else "holds no packet"
        raise CodecError(
            f"{path} {found}: a pattern of losses has 1 or x for a lost packet, 0 or . for others"
        )
    return [mark in _LOST for mark in marks]


def parse_loss(text: str, seed: int = 0) -> Iterator[bool]:
    """The simulator that ``text`` describes.

    ``0.1`` and ``10%`` lose so many packets one by one, ``0.1:3`` in bursts of 3 packets on average, and
    anything else is the name of a pattern file.

    Raises:
        UsageError: a number is out of range.
        CodecError: the pattern file is missing or wrong.
    """
    rate, colon, burst = text.partition(":")
    share, length = _number(rate), _number(burst)
    if share is None or (colon and length is None):
        return PatternLoss(read_pattern(text))
    return UniformLoss(share, seed) if length is None else GilbertLoss(share, length, seed)


def _number(text: str) -> float | None:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise UsageError(f"the share of lost packets must lie in 0..1 (or 0%..100%), not {rate:g}")
