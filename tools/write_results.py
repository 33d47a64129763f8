"""Measure the shipped model and write docs/results.md: every figure under the command that gave it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "results.md"
PLOT = ROOT / "docs" / "rates.png"
INTRODUCTION = """# Results

Written by `python tools/write_results.py VALID`, where VALID is the folder of passages that `python
tools/cut_valid.py LIBRISPEECH VALID` cuts from the public corpus: 20 speakers that no training saw.
Choices were made on the first ten, so the other ten are reported apart as well. Quality is measured on
decoded files; payload is the packed codes, file is everything. Speeds are those of one thread.
"""


def section(title: str, command: list[str], shown: list[str]) -> str:
    """Run a tool and return its output as a section; `shown` is the command as a reader would type it.

    Raises CalledProcessError where the tool fails.
    """
    Console(stderr=True).print(f"running {' '.join(shown)}", markup=False)
    environment = os.environ | {"COLUMNS": "110", "NO_COLOR": "1"}
    run = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, text=True, check=True, stdout=subprocess.PIPE
    )
    output = "\n".join(line.rstrip() for line in run.stdout.strip("\n").split("\n"))
    return f"\n## {title}\n```sh\npython {' '.join(shown)}\n```\n```\n{output}\n```\n"


def machine() -> str:
    """One sentence on the machine and the versions that the figures come from."""
    import torch

    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().split("\n")
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"\nMachine: {model}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}; "
        f"Python {platform.python_version()}, torch {torch.__version__}.\n"
    )


def main(
    valid: Annotated[Path, typer.Argument(help="Folder of the validation passages.")],
    other: Annotated[Path | None, typer.Option(help="Folder of speech in other languages.")] = None,
) -> None:
    """Measure the shipped model and write docs/results.md."""
    quality = ["tools/evaluate_clips.py"]
    options = ["--bitrates", "0.5,1.5,3,6,9,10", "--metrics", "pesq_wb,pesq_nb,stoi,si_sdr"]
    parts = [
        section(
            "Quality on unseen speakers",
            [*quality, str(valid.resolve()), *options, "--split", "10"],
            [*quality, "VALID", *options, "--split", "10"],
        )
    ]
    if other is not None:
        title = (
            "Quality in other languages (French, Spanish, Italian; the training data is English and German)"
        )
        parts.append(
            section(title, [*quality, str(other.resolve()), *options], [*quality, "OTHER", *options])
        )
    rates = ["tools/bench_rates.py"]
    fewer = ["--codebooks", "3,4,6,7,12,13", "--qualities", "2,3,4,5,6,7", "--targets", "1,1.5,3,6", "--plot"]
    parts.append(
        section(
            "Rate modes",
            [*rates, str(valid.resolve()), *fewer, str(PLOT)],
            [*rates, "VALID", *fewer, "docs/rates.png"],
        )
        + f"\n![PESQ-WB of the rate modes over the bitrate of whole files]({PLOT.name})\n"
    )
    for title, tool in (
        ("Speed", "tools/bench_speed.py"),
        ("Memory", "tools/bench_memory.py"),
        ("Start-up", "tools/bench_import.py"),
    ):
        parts.append(section(title, [tool], [tool]))
    TARGET.write_text(INTRODUCTION + machine() + "".join(parts), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
