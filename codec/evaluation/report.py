"""Results as tables: on a terminal, as Markdown for the documents, and as CSV for further work."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from codec.evaluation.evaluate import Aggregate, RoundTrip, aggregate
from codec.evaluation.facts import ModelFacts
from codec.evaluation.scores import Score
from codec.evaluation.statistics import Summary

NOTHING = "-"
"""What stands where there is no figure."""

_METRIC_FORMATS = {
    "pesq_wb": ("PESQ-WB", 2),
    "pesq_nb": ("PESQ-NB", 2),
    "stoi": ("STOI", 3),
    "estoi": ("ESTOI", 3),
    "visqol": ("ViSQOL speech", 2),
    "visqol_audio": ("ViSQOL audio", 2),
    "si_sdr": ("SI-SDR dB", 1),
    "psnr": ("pSNR dB", 1),
    "log_mel_distance": ("log-mel dB", 2),
    "dnsmos": ("DNSMOS", 2),
}


def metric_label(name: str) -> str:
    """Name a metric of ``METRICS`` as a column heading does."""
    return _METRIC_FORMATS[name][0]


def format_score(name: str, score: Score | Summary | None) -> str:
    """Write a score, or a summary as mean ± half width of the 95 % interval; ``-`` for no value."""
    digits = _METRIC_FORMATS[name][1]
    if isinstance(score, Summary):
        if score.mean is None:
            return NOTHING
        interval = f" ± {score.half_width:.{digits}f}" if score.half_width is not None else ""
        return f"{score.mean:.{digits}f}{interval}"
    return f"{score.value:.{digits}f}" if score is not None and score.value is not None else NOTHING


def format_bytes(count: int) -> str:
    """Write a file size in decimal units, as in ``6.1 kB``."""
    if count < 1000:
        return f"{count} B"
    size, unit = (count / 1e6, "MB") if count >= 999_500 else (count / 1e3, "kB")
    return f"{size:.{1 if size < 100 else 0}f} {unit}"


def format_speed(speed: float) -> str:
    """Write a speed in times real time, as in ``34 x``."""
    return f"{speed:.0f} x" if speed >= 10 else f"{speed:.1f} x"


def format_model(facts: ModelFacts) -> str:
    """Describe the model under test in one line."""
    return (
        f"{facts.name} ({facts.model_id}), {facts.parameters / 1e6:.1f} M parameters, "
        f"{facts.sample_rate / 1000:g} kHz, {facts.latency_ms:g} ms algorithmic latency"
    )


def clip_table(trips: Sequence[RoundTrip], metrics: Sequence[str]) -> Table:
    """Lay out every round trip in one terminal table, grouped by setting, with the mean under each group.

    ``metrics`` names the quality columns; one that was not measured shows ``-`` throughout.
    """
    table = _table()
    table.add_column("rate", no_wrap=True)
    table.add_column("clip", overflow="fold")
    sizes = ("size", "file\nkbit/s", "payload\nkbit/s")
    for heading in (*sizes, *map(metric_label, metrics), "encode", "decode"):
        table.add_column(heading, justify="right")
    for total in aggregate(trips):
        group = [trip for trip in trips if trip.setting == total.setting]
        for index, trip in enumerate(group):
            (alone,) = aggregate([trip])
            scores = [format_score(name, trip.scores.get(name)) for name in metrics]
            label = "" if index else total.setting.label
            cells = _sizes(format_bytes(trip.file_bytes), alone, scores)
            table.add_row(label, Text(trip.clip.name), *cells)
        means = [_mean(name, total.scores.get(name)) for name in metrics]
        table.add_row("", "mean", *_sizes("", total, means), style="bold", end_section=True)
    return table


def rate_table(results: Sequence[Aggregate], latencies: Mapping[str, float | None]) -> Table:
    """Lay out bits, speeds and latency for the terminal, a row a setting."""
    return _filled(_RATE_HEADINGS, [_rate_cells(result, latencies) for result in results])


def quality_table(results: Sequence[Aggregate], metrics: Sequence[str]) -> Table:
    """Lay out means with 95 % intervals for the terminal, a row a setting."""
    rows = [_quality_cells(result, metrics) for result in results]
    # Interval and count below the mean: ten metrics side by side are wider than a terminal.
    folded = [[cell.replace(" ±", "\n±").replace(" (n", "\n(n") for cell in row] for row in rows]
    return _filled(_quality_headings(metrics), folded)


def markdown(
    results: Sequence[Aggregate], metrics: Sequence[str], latencies: Mapping[str, float | None]
) -> str:
    """Write both tables as Markdown, and below them which clips a mean leaves out and why.

    ``latencies`` in ms are by peer, the model's own by the empty name; None where it takes the whole sound.
    """
    quality = [_quality_headings(metrics), *(_quality_cells(result, metrics) for result in results)]
    rates = [_RATE_HEADINGS, *(_rate_cells(result, latencies) for result in results)]
    notes = "".join(f"- {note}\n" for note in missing_notes(results))
    return f"{_markdown_table(quality)}\n{_markdown_table(rates)}" + (f"\n{notes}" if notes else "")


def missing_notes(results: Iterable[Aggregate]) -> list[str]:
    """Say for every mean that leaves clips out how many and why, one sentence each."""
    return [
        f"{result.setting.label}: {metric_label(name)} leaves out {count} of {result.clips} clips ({reason})"
        for result in results
        for name, summary in result.scores.items()
        for reason, count in summary.missing.items()
    ]


def to_csv(trips: Sequence[RoundTrip], metrics: Sequence[str]) -> str:
    """Write one CSV line a round trip; a metric without a value is empty and its reason stands beside it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    sizes = ["seconds", "file_bytes", "payload_bytes", "encode_seconds", "decode_seconds"]
    writer.writerow(["clip", "setting", *sizes, *metrics, *(f"{name}_missing" for name in metrics)])
    for trip in trips:
        scores = [trip.scores.get(name, Score(None, "not measured")) for name in metrics]
        writer.writerow(
            [
                trip.clip.name,
                trip.setting.label,
                trip.clip.seconds,
                trip.file_bytes,
                trip.payload_bytes,
                f"{trip.encode_seconds:.4f}",
                f"{trip.decode_seconds:.4f}",
                *("" if score.value is None else f"{score.value:.4f}" for score in scores),
                *(score.reason or "" for score in scores),
            ]
        )
    return out.getvalue()


def summary_csv(results: Sequence[Aggregate], metrics: Sequence[str]) -> str:
    """Write one CSV line a setting: bits, speeds, and of each metric mean, half interval and clips."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{name}{part}" for name in metrics for part in ("", "_half_width", "_clips")]
    bits = ["payload_kbps", "file_kbps", "encode_speed", "decode_speed"]
    writer.writerow(["setting", "clips", *bits, *columns])
    for result in results:
        sizes = (result.payload_kbps, result.file_kbps, result.encode_speed, result.decode_speed)
        figures: list[str | int] = []
        for name in metrics:
            summary = result.scores[name]
            means = ["" if value is None else f"{value:.6f}" for value in (summary.mean, summary.half_width)]
            figures += [*means, summary.n]
        writer.writerow([result.setting.label, result.clips, *(f"{value:.6f}" for value in sizes), *figures])
    return out.getvalue()


def aggregate_headings(metrics: Sequence[str]) -> list[str]:
    """Give the column headings that go with :func:`aggregate_cells`."""
    return ["setting", "n", "payload kbit/s", "file kbit/s", *map(metric_label, metrics), "encode", "decode"]


def aggregate_cells(result: Aggregate, metrics: Sequence[str]) -> list[str]:
    """Give one setting's row as text, quality as mean and 95 % interval."""
    return [
        result.setting.label,
        str(result.clips),
        f"{result.payload_kbps:.2f}",
        f"{result.file_kbps:.2f}",
        *(format_score(name, result.scores.get(name)) for name in metrics),
        format_speed(result.encode_speed),
        format_speed(result.decode_speed),
    ]


_RATE_HEADINGS = ["setting", "clips", "payload kbit/s", "file kbit/s", "encode", "decode", "latency ms"]


def _rate_cells(result: Aggregate, latencies: Mapping[str, float | None]) -> list[str]:
    latency = latencies[result.setting.peer]
    return [
        result.setting.label,
        str(result.clips),
        f"{result.payload_kbps:.2f}",
        f"{result.file_kbps:.2f}",
        format_speed(result.encode_speed),
        format_speed(result.decode_speed),
        NOTHING if latency is None else f"{latency:g}",
    ]


def _quality_headings(metrics: Sequence[str]) -> list[str]:
    return ["setting", "payload kbit/s", *map(metric_label, metrics)]


def _quality_cells(result: Aggregate, metrics: Sequence[str]) -> list[str]:
    cells = (_with_count(name, result) for name in metrics)
    return [result.setting.label, f"{result.payload_kbps:.2f}", *cells]


def _with_count(name: str, result: Aggregate) -> str:
    """A mean, and over how many clips where it leaves some out."""
    summary = result.scores.get(name)
    text = format_score(name, summary)
    return f"{text} (n = {summary.n})" if summary is not None and 0 < summary.n < result.clips else text


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _filled(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = _table()
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
    for row in rows:
        table.add_row(*row)
    return table


def _table() -> Table:
    return Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _sizes(file_size: str, totals: Aggregate, scores: list[str]) -> list[str]:
    """Give the cells of one row of the clip table that follow the clip's name."""
    speeds = [format_speed(totals.encode_speed), format_speed(totals.decode_speed)]
    return [file_size, f"{totals.file_kbps:.2f}", f"{totals.payload_kbps:.2f}", *scores, *speeds]


def _mean(name: str, summary: Summary | None) -> str:
    return format_score(name, Score(summary.mean) if summary else None)
