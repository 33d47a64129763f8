"""Hard sounds through a model: does anything blow up, does silence stay silent, and what is left of them?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from codec import DEFAULT_MODEL
from codec.errors import CodecError, UsageError

if TYPE_CHECKING:
    from codec.api import Codec

MAX_GAIN_DB = 3.0
MAX_SILENCE_DBFS = -70.0
_FLOOR = 1e-6


class Sound(NamedTuple):
    """One kind of input: its name, and clips [T] at one rate."""

    name: str
    clips: list[NDArray[np.float32]]


class Row(NamedTuple):
    """What came of a sound at a rate: levels of the clip that grew most, in dBFS, means of metrics, and what
    limit broke in how many clips."""

    name: str
    clips: int
    kbps: float
    peak_in: float
    peak_out: float
    level_out: float
    scores: dict[str, str]
    breaks: str


def gather(
    speech: Sequence[NDArray[np.float32]], other: Sequence[NDArray[np.float32]], rate: int
) -> list[Sound]:
    """All kinds of input, made of clips of speech and of those in other languages."""
    from codec.evaluation import stress

    sounds = [Sound("speech", list(speech))]
    for name, change in stress.FROM_SPEECH.items():
        sounds.append(Sound(name, [change(clip, rate) for clip in speech]))
    if len(speech) >= 3:
        longest = sorted(speech, key=len, reverse=True)
        sounds.append(Sound("three speakers at once", [stress.babble(longest)]))
    if other:
        sounds.append(Sound("other languages", list(other)))
    return sounds + [Sound(name, [make(rate)]) for name, make in stress.SYNTHETIC.items()]


def decibels(magnitude: float) -> float:
    """dBFS, at least -120."""
    return 20.0 * float(np.log10(max(magnitude, _FLOOR)))


def measure(codec: Codec, sound: Sound, rate: int, bitrate: float, metrics: Sequence[str]) -> Row:
    """Encode and decode all clips of a sound; the loudest peaks and the worst gain decide."""
    from codec.evaluation.report import format_score
    from codec.evaluation.scoring import score
    from codec.evaluation.statistics import summarize

    decoded, size = [], 0
    for clip in sound.clips:
        data = codec.encode(clip, rate, bitrate)
        decoded.append(codec.decode(data)[0])
        size += len(data)
    peaks = [
        (decibels(float(np.abs(before).max())), decibels(float(np.abs(after).max())))
        for before, after in zip(sound.clips, decoded, strict=True)
    ]
    before, after = max(peaks, key=growth)
    summaries = {
        name: summarize(score(name, *pair, rate) for pair in zip(sound.clips, decoded, strict=True))
        for name in metrics
    }
    return Row(
        sound.name,
        len(sound.clips),
        8e-3 * size * rate / sum(map(len, sound.clips)),
        before,
        after,
        max(decibels(float(np.sqrt(np.mean(np.square(each))))) for each in decoded),
        {name: format_score(name, summary) for name, summary in summaries.items()},
        verdict_of_all(peaks),
    )


def growth(peaks: tuple[float, float]) -> float:
    """By how many dB a peak grew."""
    return peaks[1] - peaks[0]


def verdict_of_all(peaks: Sequence[tuple[float, float]]) -> str:
    """The verdict on the clip that grew most, and how many break a limit."""
    broken = sum(verdict(*pair) != "no" for pair in peaks)
    found = verdict(*max(peaks, key=growth))
    return f"{broken} of {len(peaks)}, {found}" if broken else found


def verdict(before: float, after: float) -> str:
    """What limit peaks in dBFS before and after the codec break, or that they keep them."""
    if before <= decibels(0.0):
        return "no" if after < MAX_SILENCE_DBFS else f"not below {MAX_SILENCE_DBFS:g} dBFS"
    return "no" if after <= before + MAX_GAIN_DB else f"{after - before:+.1f} dB"


def table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """All rows as Markdown."""
    from codec.evaluation.report import metric_label

    headings = ["sound", "clips", "file kbit/s", "peak in", "peak out", "level out", "breaks a limit"]
    headings += map(metric_label, metrics)
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1)]
    for row in rows:
        levels = [f"{level:.1f}" for level in (row.peak_in, row.peak_out, row.level_out)]
        scores = [row.scores[name] for name in metrics]
        lines.append([row.name, str(row.clips), f"{row.kbps:.2f}", *levels, row.breaks, *scores])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def load(folder: Path, count: int | None) -> tuple[list[NDArray[np.float32]], int]:
    """The clips of a folder, or the first of them, and their rate; they must be mono and alike in rate."""
    from codec.evaluation.evaluate import load_clips

    clips = load_clips(folder)[:count]
    if any(clip.audio.ndim > 1 or clip.sample_rate != clips[0].sample_rate for clip in clips):
        raise UsageError(f"{folder} holds clips of several rates or channels: give mono clips of one rate")
    return [clip.audio for clip in clips], clips[0].sample_rate


def run(
    folder: Path, other: Path | None, model: str, bitrates: list[float], count: int | None, names: list[str]
) -> str:
    """The tables of all bitrates."""
    import torch

    from codec.api import Codec
    from codec.evaluation.run import choose_metrics

    torch.set_num_threads(1)
    metrics = choose_metrics(names, lambda sentence: typer.echo(f"warning: {sentence}", err=True))
    speech, rate = load(folder, count)
    foreign, foreign_rate = load(other, count) if other is not None else ([], rate)
    if foreign_rate != rate:
        raise UsageError(f"{other} holds clips at {foreign_rate} Hz: give clips at {rate} Hz as in {folder}")
    codec = Codec.load(model)
    sounds = gather(speech, foreign, rate)
    parts = [
        f"Limits: a peak at most {MAX_GAIN_DB:g} dB above the input's, silence below {MAX_SILENCE_DBFS:g} "
        "dBFS. Levels in dBFS, those of the clip that grew most; metrics compare output with input.\n"
    ]
    for bitrate in bitrates:
        rows = [measure(codec, sound, rate, bitrate, metrics) for sound in sounds]
        parts.append(f"{bitrate:g} kbit/s:\n\n{table(rows, metrics)}")
    return "\n".join(parts)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of mono clips of speech.")],
    other: Annotated[Path | None, typer.Option(help="Folder of speech in other languages.")] = None,
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    bitrates: Annotated[str, typer.Option(help="kbit/s, with commas.")] = "1.5,6",
    count: Annotated[int | None, typer.Option(min=1, help="Clips of each folder.  [default: all]")] = None,
    metrics: Annotated[str, typer.Option(help="With commas.")] = "pesq_wb,stoi,si_sdr",
) -> None:
    """Send hard sounds through a model and tell what comes back."""
    try:
        rates = [float(word) for word in bitrates.split(",")]
        print(run(folder, other, model, rates, count, [name for name in metrics.split(",") if name]))
    except ValueError as error:
        typer.echo(f"error: --bitrates takes numbers with commas between them: {error}", err=True)
        raise typer.Exit(2) from error
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
