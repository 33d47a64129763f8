"""What `codec decode` tells of damage: a warning, the file that --report names, or a refusal."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from codec.atomic import AtomicFile
from codec.bitstream import StreamHeader
from codec.cli.console import count
from codec.cli.times import show_time
from codec.damage import Damage
from codec.errors import CodecError


def damage_values(damage: list[Damage], header: StreamHeader) -> list[dict[str, Any]]:
    """The spans for JSON: the fields of `Damage`, and how many `frames` were concealed."""
    rate = header.coded_rate / header.hop
    return [{**asdict(span), "frames": round(span.seconds * rate)} for span in damage]


def damage_warning(damage: list[Damage], name: str) -> str:
    """One sentence about damage that there is."""
    seconds = sum(span.seconds for span in damage)
    return (
        f"{name} is damaged in {count(len(damage), 'place')}, and {seconds:.2f} s were concealed; "
        f"the first is {_place(damage[0])}"
    )


def refuse_damage(damage: list[Damage], name: str) -> None:
    """Raise CodecError if there is any."""
    if damage:
        raise CodecError(
            f"{name} is damaged {_place(damage[0])}: get a fresh copy, or leave out --strict to hear what is "
            "left"
        )


def write_damage(
    file: AtomicFile, damage: list[Damage], header: StreamHeader, name: str, seconds: float, repaired: bool
) -> None:
    """Write the report of one stream, whether it is damaged or not.

    Args:
        file: where to.
        damage: in the order of the stream.
        header: of the stream.
        name: of the stream.
        seconds: how long the sound is.
        repaired: the header was damaged.
    """
    spans = damage_values(damage, header)
    values = {
        "input": name,
        "seconds": seconds,
        "header_repaired": repaired,
        "places": len(spans),
        "damaged_seconds": sum(span["seconds"] for span in spans),
        "damaged_frames": sum(span["frames"] for span in spans),
        "damage": spans,
    }
    file.write(json.dumps(values, indent=2).encode() + b"\n")


def _place(damage: Damage) -> str:
    return f"at {show_time(damage.start_seconds)} ({damage.reason})"
