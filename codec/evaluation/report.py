"""Results as tables: on a terminal, as Markdown for the documents, and as CSV for further work."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from codec.evaluation.evaluate import Aggregate, RoundTrip, aggregate
from codec.evaluation.facts import ModelFacts
from codec.evaluation.metrics import Score
from codec.evaluation.statistics import Summary

NOTHING = "-"
"""What stands where there is no figure."""

_METRIC_FORMATS = {
    "pesq_wb": ("PESQ-WB", 2),
    "pesq_nb": ("PESQ-NB", 2),
    "stoi": ("STOI", 3),
    "estoi": ("ESTOI", 3),
    "si_sdr": ("SI-SDR dB", 1),
    "log_mel_distance": ("log-mel dB", 2),
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


def aggregate_table(results: Sequence[Aggregate], metrics: Sequence[str]) -> Table:
    """Lay out one row a setting for the terminal, with 95 % intervals."""
    table = _table()
    for index, heading in enumerate(aggregate_headings(metrics)):
        table.add_column(heading, justify="right" if index else "left")
    for result in results:
        table.add_row(*aggregate_cells(result, metrics))
    return table


def markdown(results: Sequence[Aggregate], metrics: Sequence[str]) -> str:
    """Write one Markdown table with a row a setting, and below it which clips a mean leaves out and why."""
    headings = aggregate_headings(metrics)
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1)]
    lines += [aggregate_cells(result, metrics) for result in results]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = "".join(f"- {note}\n" for note in missing_notes(results))
    return table + (f"\n{notes}" if notes else "")


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


def _table() -> Table:
    return Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _sizes(file_size: str, totals: Aggregate, scores: list[str]) -> list[str]:
    """Give the cells of one row of the clip table that follow the clip's name."""
    speeds = [format_speed(totals.encode_speed), format_speed(totals.decode_speed)]
    return [file_size, f"{totals.file_kbps:.2f}", f"{totals.payload_kbps:.2f}", *scores, *speeds]


def _mean(name: str, summary: Summary | None) -> str:
    return format_score(name, Score(summary.mean) if summary else None)
