"""`codec info`: what a bitstream says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codec.cli.console import Console, count
from codec.cli.options import Json, ModelOfStream
from codec.cli.signals import Stop
from codec.cli.streams import Input, open_input
from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.bitstream import Event, StreamHeader

_READ_BYTES = 1 << 16


def info(
    source: Annotated[str, typer.Argument(metavar="IN", help="A bitstream; - is standard input.")],
    model: ModelOfStream = None,
    as_json: Json = False,
) -> int:
    """Show what a bitstream holds: duration, bits, model, latency, damage.

    Works without the model; only the latency is then unknown.
    """
    console = Console(json=as_json)
    with Stop() as stop, open_input(source, stop) as stream:
        header, report = _inspect(stream, console)
    report["latency_ms"], unknown = _latency(header, model)
    if as_json:
        console.report(report)
    else:
        print("\n".join(_lines(report, unknown)))
    return 0


@dataclass
class _Contents:
    """What the events of a stream add up to; `num_samples` is None where no footer tells it."""

    frames: int = 0
    blocks: int = 0
    damaged_blocks: int = 0
    num_samples: int | None = None


def _inspect(stream: Input, console: Console) -> tuple[StreamHeader, dict[str, Any]]:
    """Read the stream to its end: its header, and all that can be told without the model."""
    from codec.bitstream import FORMAT_VERSION, ContainerReader

    reader = ContainerReader(stream.name)
    contents, size = _Contents(), 0
    while data := stream.read(_READ_BYTES):
        size += len(data)
        for event in reader.push(data):
            _add(event, contents, reader.header, stream.name, console)
    for event in reader.finish():
        _add(event, contents, reader.header, stream.name, console)
    header = reader.header
    assert header is not None  # finish() refuses a stream without one
    samples = contents.num_samples
    if samples is None:
        samples = contents.frames * header.hop * header.sample_rate // header.coded_rate
    seconds = samples / header.sample_rate
    return header, {
        "input": stream.name,
        "format_version": FORMAT_VERSION,
        "seconds": seconds,
        "samples": samples,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "model": header.model_name,
        "model_id": header.model_id.hex(),
        "codebooks": header.num_codebooks,
        "bits_per_code": header.bits_per_code,
        "frame_rate": header.coded_rate / header.hop,
        "blocks": contents.blocks,
        "damaged_blocks": contents.damaged_blocks,
        "file_bytes": size,
        "payload_bits": 8 * reader.payload_bytes,
        "container_bits": 8 * reader.container_bytes,
        "damaged_bits": 8 * reader.skipped_bytes,
        "kbps": 8 * size / seconds / 1000 if seconds else None,
    }


def _add(event: Event, contents: _Contents, header: StreamHeader | None, name: str, console: Console) -> None:
    from codec.bitstream import BlockRead, Lost, StreamEnd

    assert header is not None  # it is known before any event
    if isinstance(event, BlockRead):
        contents.blocks += 1
    elif isinstance(event, Lost):
        blocks = -(-event.frames // header.block_frames)
        contents.blocks += blocks
        contents.damaged_blocks += blocks
        place = event.position // header.block_frames
        what = f"{count(blocks, 'block')} from block {place} on: " if blocks else ""
        console.warn(f"{name}: {what}{event.reason}")
    elif isinstance(event, StreamEnd):
        contents.frames = event.num_frames
        contents.num_samples = event.num_samples
        if event.reason:
            console.warn(f"{name}: {event.reason}")


def _latency(header: StreamHeader, name: str | None) -> tuple[float | None, str]:
    """Milliseconds that the model of the stream delays a live signal, or None and why they are unknown."""
    from codec.checkpoint import load_model, model_id

    try:
        model = load_model(name or header.model_name)
    except CodecError as error:
        return None, str(error)
    if model_id(model) != header.model_id:
        return None, f"the {model.config.name} found here has another id, {model_id(model).hex()}"
    return 1000.0 * model.latency / model.config.sample_rate, ""


def _lines(report: dict[str, Any], unknown: str) -> list[str]:
    """The report for people."""
    seconds, rate = report["seconds"], report["sample_rate"]
    latency = report["latency_ms"]
    per_second = 1000 * seconds if seconds else float("inf")
    payload, container = report["payload_bits"], report["container_bits"]
    rows = {
        "duration": f"{seconds:.3f} s, {count(report['samples'], 'sample')} at {rate} Hz",
        "channels": f"{report['channels']}",
        "model": f"{report['model']}, id {report['model_id']}",
        "codebooks": f"{report['codebooks']} of {report['bits_per_code']} bits, "
        f"{report['frame_rate']:g} frames/s",
        "blocks": f"{report['blocks']}, {report['damaged_blocks']} damaged",
        "size": f"{count(report['file_bytes'], 'byte')}: "
        f"{payload:,} payload bits, {container:,} container bits"
        + (f", {report['damaged_bits']:,} damaged bits" if report["damaged_bits"] else ""),
        "bitrate": f"{report['kbps'] or 0:.2f} kbit/s: payload {payload / per_second:.2f}, "
        f"container {container / per_second:.2f}",
        "latency": f"{latency:g} ms" if latency is not None else f"unknown: {unknown}",
    }
    return [f"{report['input']}: codec bitstream, format version {report['format_version']}"] + [
        f"  {name:<10} {value}" for name, value in rows.items()
    ]
