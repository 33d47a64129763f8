from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console
from rich.table import Table

from codec.evaluation.evaluate import Clip, RoundTrip, Setting, aggregate, round_trip
from codec.evaluation.report import (
    clip_table,
    format_bytes,
    format_speed,
    markdown,
    missing_notes,
    quality_table,
    rate_table,
    summary_csv,
    to_csv,
)
from tests.evaluation.conftest import SAMPLE_RATE, syllables
from tests.evaluation.dct_codec import DctCodec

SILENT = "silent, with a comma"


@pytest.fixture(scope="module")
def trips() -> list[RoundTrip]:
    clips = [
        Clip("[red]one[/red]", syllables(2.0), SAMPLE_RATE),
        Clip("two", syllables(2.0, pitch=180.0), SAMPLE_RATE),
        Clip(SILENT, 0.0 * syllables(2.0), SAMPLE_RATE),
    ]
    settings = [Setting(bitrate=3.0), Setting(bitrate=6.0)]
    return [round_trip(DctCodec(), clip, setting, ["si_sdr"]) for setting in settings for clip in clips]


def render(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(table)
    return console.export_text()


def rows(table: Table) -> list[list[str]]:
    """The cells of every row as plain text."""
    return [
        [str(cell) for cell in cells]
        for cells in zip(*(column.cells for column in table.columns), strict=True)
    ]


def test_the_clip_table_has_every_trip_and_a_mean_for_each_setting(trips: list[RoundTrip]) -> None:
    table = rows(clip_table(trips, ["si_sdr"]))
    assert [row[1] for row in table] == ["[red]one[/red]", "two", SILENT, "mean"] * 2
    assert [row[0] for row in table] == ["3 kbit/s", "", "", "", "6 kbit/s", "", "", ""]
    first = aggregate(trips[:1])[0]
    assert table[0][3:6] == [
        f"{first.file_kbps:.2f}",
        f"{first.payload_kbps:.2f}",
        f"{trips[0].scores['si_sdr'].value:.1f}",
    ]
    assert table[2][5] == "-"
    # The mean is over the two clips that have a value.
    values = [trip.scores["si_sdr"].value for trip in trips[:2]]
    assert table[3][5] == f"{sum(filter(None, values)) / 2:.1f}"


def test_names_are_printed_as_they_are(trips: list[RoundTrip]) -> None:
    assert "[red]one[/red]" in render(clip_table(trips, []))


def test_a_metric_that_was_not_measured_shows_a_dash(trips: list[RoundTrip]) -> None:
    table = clip_table(trips, ["pesq_wb"])
    assert table.columns[5].header == "PESQ-WB"
    assert [row[5] for row in rows(table)] == ["-"] * 8


def test_means_carry_intervals_and_name_what_they_leave_out(trips: list[RoundTrip]) -> None:
    results = aggregate(trips)
    text = markdown(results, ["si_sdr"], {"": 40.0})
    quality, rates, notes = text.split("\n\n")
    for table in (quality, rates):
        lines = table.splitlines()
        assert [line.count("|") for line in lines] == [lines[0].count("|")] * 4
    assert "±" in quality.splitlines()[2]
    # One of three clips is silent.
    assert quality.count("(n = 2)") == 2
    assert rates.splitlines()[2].endswith("| 40 |")
    assert notes.startswith("- 3 kbit/s: SI-SDR dB leaves out 1 of 3 clips (the original is silent)\n")
    assert len(missing_notes(results)) == 2
    assert render(quality_table(results, ["si_sdr"])).count("±") == 2
    assert "6 kbit/s" in render(rate_table(results, {"": 40.0}))


def test_the_summary_has_a_line_for_each_setting(trips: list[RoundTrip]) -> None:
    rows = list(csv.DictReader(io.StringIO(summary_csv(aggregate(trips), ["si_sdr"]))))
    assert [row["setting"] for row in rows] == ["3 kbit/s", "6 kbit/s"]
    assert (rows[0]["clips"], rows[0]["si_sdr_clips"]) == ("3", "2")
    result = aggregate(trips)[0]
    assert float(rows[0]["si_sdr"]) == pytest.approx(result.scores["si_sdr"].mean, abs=1e-4)
    assert float(rows[0]["payload_kbps"]) == pytest.approx(result.payload_kbps, abs=1e-4)


def test_the_csv_has_a_line_for_each_trip_and_a_reason_for_each_gap(trips: list[RoundTrip]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(trips, ["si_sdr", "stoi"]))))
    assert len(rows) == 6
    assert (rows[0]["clip"], rows[0]["setting"]) == ("[red]one[/red]", "3 kbit/s")
    assert int(rows[0]["file_bytes"]) == trips[0].file_bytes
    assert float(rows[0]["si_sdr"]) == pytest.approx(trips[0].scores["si_sdr"].value, abs=1e-4)
    assert (rows[2]["clip"], rows[2]["si_sdr"]) == (SILENT, "")
    assert rows[2]["si_sdr_missing"] == "the original is silent"
    assert (rows[0]["stoi"], rows[0]["stoi_missing"]) == ("", "not measured")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (6110, "6.1 kB"),
        (256_000, "256 kB"),
        (999_600, "1.0 MB"),
        (42_000_000, "42.0 MB"),
    ],
)
def test_file_sizes_are_short(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_speeds_are_times_real_time() -> None:
    assert (format_speed(1.234), format_speed(34.4)) == ("1.2 x", "34 x")
