"""`codec info`: what a bitstream says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from codec.cli.console import Console, count, printable
from codec.cli.options import Json, ModelOfStream
from codec.cli.signals import Stop
from codec.cli.streams import open_input
from codec.cli.times import show_time
from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.bitstream import StreamHeader
    from codec.model import CodecModel


def info(
    source: Annotated[str, typer.Argument(metavar="IN", help="A bitstream; - is standard input.")],
    model: ModelOfStream = None,
    as_json: Json = False,
) -> int:
    """Show what a bitstream holds: duration, bits before and after entropy coding, model, latency, tags,
    damage.

    Works without the model, but for the latency, and the number of codebooks where that varies.
    """
    from codec.cli.headers import read_opening
    from codec.cli.inspection import inspect

    console = Console(json=as_json)
    with Stop() as stop, open_input(source, stop) as stream:
        opening = read_opening(stream)
        found, missing = _find_model(opening.header, model)
        report = inspect(stream, opening, found, console)
    report["latency_ms"] = 1000.0 * found.latency / found.config.sample_rate if found else None
    if as_json:
        console.report(report)
    else:
        print("\n".join(_lines(report, missing)))
    return 0


def _find_model(header: StreamHeader, name: str | None) -> tuple[CodecModel | None, str]:
    """The model of the stream, or why it is not at hand."""
    from codec.checkpoint import load_model, model_id

    try:
        model = load_model(name or header.model_name)
    except CodecError as error:
        return None, str(error)
    if model_id(model) != header.model_id:
        return None, f"the {model.config.name} found here has another id, {model_id(model).hex()}"
    return model, ""


def _lines(report: dict[str, Any], missing: str) -> list[str]:
    """The report for people; `missing` says why there is no model."""
    seconds, latency = report["seconds"], report["latency_ms"]
    per_second = 1000 * seconds if seconds else float("inf")
    payload, container = report["payload_bits"], report["container_bits"]
    rows = {
        "duration": f"{seconds:.3f} s{_clock(seconds)}, {count(report['samples'], 'sample')} at "
        f"{report['sample_rate']} Hz",
        "channels": f"{report['channels']}",
        "model": f"{report['model']}, id {report['model_id']}",
        "codebooks": _codebooks(report),
        "blocks": f"{report['blocks']}, {report['damaged_blocks']} damaged",
        "size": f"{count(report['file_bytes'], 'byte')}: "
        f"{payload:,} payload bits, {container:,} container bits"
        + (f", {report['damaged_bits']:,} damaged bits" if report["damaged_bits"] else ""),
        "entropy": _entropy(report),
        "bitrate": f"{report['kbps'] or 0:.2f} kbit/s: payload {payload / per_second:.2f}, "
        f"container {container / per_second:.2f}",
        "mode": f"{report['mode']}",
        "latency": f"{latency:g} ms" if latency is not None else f"unknown: {missing}",
    }
    # A tag may have the name of a row.
    tags = [(key, printable(value)) for key, value in report["tags"].items()]
    return [f"{printable(report['input'])}: codec bitstream, format version {report['format_version']}"] + [
        f"  {name:<11} {value}" for name, value in [*rows.items(), *tags]
    ]


def _clock(seconds: float) -> str:
    return f" ({show_time(seconds)})" if seconds >= 60 else ""


def _codebooks(report: dict[str, Any]) -> str:
    sent, most = report["codebooks_per_frame"], report["codebooks"]
    if sent is None and report["raw_index_bits"] is None:
        number = f"up to {most}"
    elif sent is None or sent["min"] == sent["max"]:
        number = f"{most if sent is None else sent['max']}"
    else:
        number = f"{sent['mean']:.2f} on average, {sent['min']} to {sent['max']},"
    return f"{number} of {report['bits_per_code']} bits, {report['frame_rate']:g} frames/s"


def _entropy(report: dict[str, Any]) -> str:
    before, after = report["raw_index_bits"], report["payload_bits"]
    if before is None:
        return "unknown without the model"
    change = f" ({100 * (after - before) / before:+.1f} %)" if before else ""
    return f"{before:,} bits of indices before entropy coding, {after:,} payload bits after{change}"
