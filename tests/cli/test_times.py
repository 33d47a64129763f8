"""Times as people write them."""

from __future__ import annotations

import pytest

from codec.cli.times import parse_time, show_time
from codec.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90.5", 90.5),
        (".5", 0.5),
        ("1:30", 90),
        ("01:05.25", 65.25),
        ("90:00", 5400),
        ("1:00:00", 3600),
        ("100:59:59.999", 363599.999),
        (" 7 ", 7),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text, "--start") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1:60", "1:60:00", "1:2:3:4", ":30", "1:", "nan", "inf", "1e3", "0x10", "9" * 400, "٣", "1,5"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--start takes seconds or"):
        parse_time(text, "--start")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 s"), (59.994, "59.99 s"), (59.996, "1:00.00"), (3723.5, "1:02:03.50"), (36e4, "100:00:00.00")],
)
def test_times_are_shown(seconds: float, text: str) -> None:
    assert show_time(seconds) == text
