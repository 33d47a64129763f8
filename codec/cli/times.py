"""Times on the command line: seconds, or hours, minutes and seconds as people write them."""

from __future__ import annotations

import re

from codec.errors import UsageError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_LONGEST_SECONDS = 1e9


def parse_time(text: str, option: str) -> float:
    """Seconds of `90`, `90.5`, `1:30` or `0:01:30.5`.

    Args:
        text: what the user gave.
        option: what the message names.

    Raises:
        UsageError: it is no such time, or one beyond all recordings.
    """
    match = _TIME.fullmatch(text.strip())
    if match:
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        whole = seconds if match[2] is None else 60 * minutes + seconds
        carries = (match[2] is not None and seconds >= 60) or (match[1] is not None and minutes >= 60)
        total = 3600 * hours + whole
        if not carries and total <= _LONGEST_SECONDS:
            return total
    raise UsageError(f"{option} takes seconds or [hh:]mm:ss, such as 90, 1:30 or 0:01:30.5, not {text!r}")


def show_time(seconds: float) -> str:
    """`1:02:03.50`, `2:03.50` or `3.50 s`."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest / 100:05.2f}"
    return f"{minutes}:{rest / 100:05.2f}" if minutes else f"{rest / 100:.2f} s"
