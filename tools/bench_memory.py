"""Compare the peak memory of `codec encode` on a short and on a very long recording.

    python tools/bench_memory.py [--hours 3] [--model NAME|FOLDER]

Each file is encoded in a fresh process. The goal is a difference of at most 50 MB: memory must not grow with
length.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import soundfile
import typer

from codec import DEFAULT_MODEL

ROOT = Path(__file__).resolve().parent.parent
SHORT_SECONDS = 10.0
GOAL_MB = 50.0
COMMAND = [sys.executable, "-m", "codec.cli.main", "encode"]


def write_looped(clips: Path, seconds: float, path: Path) -> None:
    """Write the mono FLAC clips of a folder, repeated to a length, as a 16-bit WAV file."""
    files = sorted(clips.glob("*.flac"))
    if not files:
        raise typer.BadParameter(f"{clips} holds no FLAC clips", param_hint="--clips")
    sample_rate = soundfile.info(files[0]).samplerate
    left = round(seconds * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16") as out:
        while left > 0:
            for file in files:
                samples, _ = soundfile.read(file, frames=left, dtype="int16")
                out.write(samples)
                left -= len(samples)


def peak_megabytes(source: Path, target: Path, model: str) -> tuple[float, float]:
    """Encode a file in a fresh process; return its peak resident memory in MB and its wall time in s."""
    start = time.perf_counter()
    process = subprocess.Popen([*COMMAND, str(source), str(target), "--model", model, "--quiet"])
    # The peak of a child counts from the fork on and so is never below this process's own: nothing large is
    # imported here.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise typer.Exit(process.returncode)
    return usage.ru_maxrss * 1024 / 1e6, time.perf_counter() - start


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    clips: Annotated[Path, typer.Option(help="Folder of speech clips.")] = ROOT / "tests" / "data" / "clips",
    hours: Annotated[float, typer.Option(min=0.01, help="Length of the long recording.")] = 3.0,
) -> None:
    """Compare the peak memory of encoding a short and a very long recording."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "speech.wav", Path(folder) / "speech.nac"
        for seconds in (SHORT_SECONDS, 3600.0 * hours):
            write_looped(clips, seconds, source)
            peak, wall = peak_megabytes(source, target, model)
            peaks.append(peak)
            size = target.stat().st_size
            typer.echo(f"{seconds:8.0f} s of speech: peak {peak:6.1f} MB, {wall:6.1f} s, {size} bytes")
            target.unlink()
    difference = peaks[1] - peaks[0]
    verdict = "within" if difference <= GOAL_MB else "above"
    typer.echo(f"difference {difference:+.1f} MB, {verdict} the goal of {GOAL_MB:g} MB")


if __name__ == "__main__":
    typer.run(main)
