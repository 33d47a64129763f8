"""Simulated losses: rates, bursts, patterns, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import pytest

from codec.errors import CodecError, UsageError
from codec.loss import GilbertLoss, PatternLoss, UniformLoss, parse_loss, read_pattern

_MANY = 100_000


def _burst_lengths(losses: list[bool]) -> list[int]:
    return [len(list(run)) for lost, run in groupby(losses) if lost]


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.1, 0.5, 1.0])
def test_UniformLosses_have_their_rate_and_no_memory(rate: float) -> None:
    losses = list(islice(UniformLoss(rate, seed=1), _MANY))
    assert sum(losses) / _MANY == pytest.approx(rate, abs=0.006)
    if 0 < rate < 1:
        bursts = _burst_lengths(losses)
        assert sum(bursts) / len(bursts) == pytest.approx(1 / (1 - rate), rel=0.03)


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1.2), (0.1, 3), (0.3, 10), (0.5, 1)])
def test_bursts_have_their_rate_and_mean_length(rate: float, burst: float) -> None:
    losses = list(islice(GilbertLoss(rate, burst, seed=1), _MANY))
    assert sum(losses) / _MANY == pytest.approx(rate, rel=0.1)
    bursts = _burst_lengths(losses)
    assert sum(bursts) / len(bursts) == pytest.approx(burst, rel=0.1)


def test_a_total_and_no_loss_in_bursts() -> None:
    assert all(islice(GilbertLoss(1.0, 5), 1000))
    assert not any(islice(GilbertLoss(0.0, 5), 1000))


def test_seeds_repeat_and_differ() -> None:
    runs = [list(islice(UniformLoss(0.5, seed), 200)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    bursts = [list(islice(GilbertLoss(0.3, 4, seed), 200)) for seed in (0, 0, 1)]
    assert bursts[0] == bursts[1] != bursts[2]


@pytest.mark.parametrize("losses", [UniformLoss(0.5), GilbertLoss(0.3, 4), PatternLoss([True, False, False])])
def test_a_copy_goes_on_alike(losses: Iterator[bool]) -> None:
    next(losses)
    twin = copy.deepcopy(losses)
    assert list(islice(losses, 50)) == list(islice(twin, 50))


def test_a_pattern_file_repeats(tmp_path: Path) -> None:
    path = tmp_path / "pattern.txt"
    path.write_text("# two lost in seven\n00.1\n .X. # the end\n")
    assert read_pattern(path) == [False, False, False, True, False, True, False]
    assert list(islice(parse_loss(str(path)), 14)) == 2 * read_pattern(path)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("0.2", UniformLoss(0.2, 7)),
        ("20%", UniformLoss(0.2, 7)),
        ("0.2:3", GilbertLoss(0.2, 3, 7)),
        ("20%:3", GilbertLoss(0.2, 3, 7)),
    ],
)
def test_numbers_name_a_simulator(text: str, same_as: Iterator[bool]) -> None:
    assert list(islice(parse_loss(text, 7), 300)) == list(islice(same_as, 300))


@pytest.mark.parametrize(
    "text", ["-0.1", "1.1", "101%", "nan", "inf", "0.1:0.5", "0.1:inf", "0.1:nan", "0.9:2"]
)
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_loss(text)


@pytest.mark.parametrize("content", ["", "# nothing\n", "0102", "\x00"])
def test_files_that_are_no_patterns_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pattern.txt"
    path.write_text(content)
    with pytest.raises(CodecError, match="a pattern of losses has 1 or x") as refused:
        parse_loss(str(path))
    assert refused.value.exit_code == 1


def test_what_is_neither_a_number_nor_a_file_is_refused(tmp_path: Path) -> None:
    for name in ("missing.txt", "0.1:many", ""):
        with pytest.raises(CodecError, match=r"cannot be read \(.*\): check its name"):
            parse_loss(str(tmp_path / name))
    with pytest.raises(UsageError, match="at least one packet"):
        PatternLoss([])
