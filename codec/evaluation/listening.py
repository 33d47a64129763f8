"""The listening page: original and decoded versions of every clip side by side, in one HTML file.

People listen openly, or blind in random order, rate, and see what they rated.

Sound, pictures, style and script lie inside the file, so it needs no network. Whatever comes from outside,
clip names above all, is escaped by the template engine, and the page's own security policy runs no script but
the one it was written with.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.evaluation import spectrogram, waveform
from codec.evaluation.evaluate import Clip, RoundTrip, aggregate
from codec.evaluation.facts import ModelFacts
from codec.evaluation.report import (
    aggregate_cells,
    aggregate_headings,
    format_bytes,
    format_score,
    metric_label,
    missing_notes,
)


@dataclass(frozen=True)
class _Version:
    """One cell of the page: a heading, data URIs of picture and sound, a path and (name, value) figures."""

    label: str
    picture: str
    wave: str
    sound: str
    figures: list[tuple[str, str]]


@dataclass(frozen=True)
class _Row:
    name: str
    seconds: float
    ticks: list[tuple[str, float]]
    versions: list[_Version]


def listening_page(
    model: ModelFacts, trips: Sequence[RoundTrip], metrics: Sequence[str], credit: str = ""
) -> str:
    """Build the page: a row a clip, the original and then a column a setting, in the order of ``trips``.

    ``metrics`` names the figures under each version, ``-`` where one was not measured; ``credit`` is a line
    of plain text on where the clips come from. Returns a whole HTML document.
    """
    clips = dict.fromkeys(trip.clip for trip in trips)
    rows = [_row(clip, [trip for trip in trips if trip.clip is clip], metrics) for clip in clips]
    results = aggregate(trips)
    script = _asset("page.js") + _asset("blind.js")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_asset("page.html.j2")).render(
        model=model,
        clips=rows,
        columns=1 + len(results),
        wave_columns=waveform.COLUMNS,
        headings=aggregate_headings(metrics),
        rows=[aggregate_cells(result, metrics) for result in results],
        notes=missing_notes(results),
        credit=credit,
        style=_asset("page.css"),
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _row(clip: Clip, trips: Sequence[RoundTrip], metrics: Sequence[str]) -> _Row:
    decibels = spectrogram.log_mel(clip.audio, clip.sample_rate)
    peak, loudest = float(decibels.max()), float(np.abs(clip.audio).max())
    pcm_bytes = 2 * clip.audio.size
    figures = [("16-bit PCM", format_bytes(pcm_bytes)), ("kbit/s", f"{8e-3 * pcm_bytes / clip.seconds:.0f}")]
    versions = [_version("Original", clip.audio, clip.sample_rate, peak, loudest, figures)]
    for trip in trips:
        (result,) = aggregate([trip])
        figures = [("File", format_bytes(trip.file_bytes)), ("kbit/s", f"{result.file_kbps:.2f}")]
        figures += [(metric_label(name), format_score(name, trip.scores.get(name))) for name in metrics]
        versions.append(_version(trip.setting.label, trip.decoded, clip.sample_rate, peak, loudest, figures))
    return _Row(clip.name, clip.seconds, spectrogram.frequency_ticks(clip.sample_rate), versions)


def _version(
    label: str,
    audio: NDArray[np.float32],
    sample_rate: int,
    peak: float,
    loudest: float,
    figures: list[tuple[str, str]],
) -> _Version:
    """Draw one version: ``peak`` in dB and ``loudest`` are those of the original's pictures."""
    picture = spectrogram.draw_png(spectrogram.log_mel(audio, sample_rate), peak)
    return _Version(
        label,
        _data_uri("image/png", picture),
        waveform.outline(audio, loudest),
        _data_uri("audio/flac", _flac(audio, sample_rate)),
        figures,
    )


def _flac(audio: NDArray[np.float32], sample_rate: int) -> bytes:
    """Store audio as 16-bit FLAC, which browsers play and which halves the page."""
    out = io.BytesIO()
    soundfile.write(out, np.clip(audio, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _asset(name: str) -> str:
    return resources.files("codec.evaluation").joinpath("page", name).read_text(encoding="utf-8")
