"""Measure the shipped models and write docs/results.md: every figure under the command that gave it.

The table in README.md, the plots and the listening page come from the same run.
"""

from __future__ import annotations

import csv
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from codec import DEFAULT_MODEL

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
PLOT = ROOT / "docs" / "rates.png"
INTRODUCTION = """# Results

Written by `python tools/write_results.py VALID --other OTHER`. VALID is the folder of passages that `python
tools/cut_valid.py LIBRISPEECH VALID` cuts from the public corpus: 20 speakers that no training saw. Choices
of what to train were made on the first ten, so the other ten are reported apart as well; which averages of
trainings became the last two large models and the small one, and how wide the search is (docs/training.md,
"The newest model" and "Peaks"; recipes/speech_16k/README.md), was chosen on all. OTHER holds 12 prompts
of Asterisk's core sounds in French, Spanish and Italian (demo-instruct, conf-usermenu, vm-newuser and
demo-congrats, from G.722 originals, 8 s of each at most); the training data is English and German.

Quality is measured on decoded files: the mean over the clips ± half its 95 % interval. Payload is the packed
codes, file is everything; peers are compared at measured payload bitrates. Metrics that contradict each other
stand side by side. pSNR is the signal-to-noise ratio after the weighting filter of the CELP coders; ViSQOL is
`visqol-python`, in speech mode with its lattice map, in audio mode on sound brought to 48 kHz; DNSMOS (P.835,
overall) hears the decoded sound alone. Speeds are times real time in processor time of one thread; those of
peers include starting their programs. All of it ran with OPENBLAS_NUM_THREADS=1, since further threads of
numpy would only wait and count as processor time.
"""
CREDIT = (
    "The clips are spans of utterances of the LibriSpeech corpus (V. Panayotov, G. Chen, D. Povey and "
    "S. Khudanpur, 2015; openslr.org/12), read by LibriVox volunteers, licensed under CC BY 4.0; the other "
    "versions of them went through the codecs."
)
# For weak processors.
SMALL_MODEL = "speech_16k_small_2"
# As good as the constant rates that are measured, or nearly.
QUALITIES = "2.6,4.6,7,9"
PAGE = "1.5 kbit/s,3 kbit/s,6 kbit/s,opus 6 kbit/s"
METRICS = "all"
# README shows the model, and of its peers the one of its kind that is everywhere.
IN_README = re.compile(r"\d|vbr|opus")
README_COLUMNS = {
    "setting": "setting",
    "payload_kbps": "payload kbit/s",
    "file_kbps": "file kbit/s",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "visqol": "ViSQOL",
    "dnsmos": "DNSMOS",
    "si_sdr": "SI-SDR dB",
}


def measured(command: list[str], shown: list[str]) -> str:
    """Run a tool and return what it printed; `shown` is the command as a reader would type it.

    Raises CalledProcessError where the tool fails.
    """
    Console(stderr=True).print(f"running {' '.join(shown)}", markup=False)
    # Threads of numpy that only spin would count as processor time.
    environment = os.environ | {"COLUMNS": "110", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, text=True, check=True, stdout=subprocess.PIPE)
    return "\n".join(line.rstrip() for line in run.stdout.strip("\n").split("\n"))


def tool_section(name: str, *arguments: str) -> str:
    """What a tool of this folder prints, under its command."""
    shown = ["python", f"tools/{name}", *arguments]
    output = measured([sys.executable, f"tools/{name}", *arguments], shown)
    return f"```sh\n{' '.join(shown)}\n```\n```\n{output}\n```\n"


def quality_section(folder: Path, name: str, *arguments: str, model: str = DEFAULT_MODEL, keep: bool) -> str:
    """The report of `codec evaluate` on a folder; with `keep` also its page, plot and README table."""
    words = ["evaluate", model, name, *arguments]
    quoted = [f'"{word}"' if " " in word else word for word in words]
    with tempfile.TemporaryDirectory() as out:
        options = [*words[:2], str(folder.resolve()), *words[3:], "--out", out, "--credit", CREDIT]
        measured([sys.executable, "-m", "codec", *options], ["codec", *quoted])
        report = (Path(out) / "report.md").read_text(encoding="utf-8")
        text = f"```sh\ncodec {' '.join(quoted)}\n```\n{report}"
        if keep:
            shutil.copy(Path(out) / "index.html", ROOT / "docs" / "listen.html")
            shutil.copy(Path(out) / "quality.png", ROOT / "docs" / "quality.png")
            update_readme(Path(out) / "settings.csv")
            text += "\n![All metrics over payload kbit/s](quality.png)\n"
            text += "\n[listen.html](listen.html) holds five of the clips to listen to, openly or blind.\n"
    return text


def update_readme(settings: Path) -> None:
    """Put the table of the settings measured between the marks in README.md."""
    with settings.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if IN_README.match(line["setting"])]
    names = [name for name in README_COLUMNS if name in lines[0]]
    rows = [[README_COLUMNS[name] for name in names], ["---"] + ["---:"] * (len(names) - 1)]
    rows += [[readme_cell(line, name) for name in names] for line in lines]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    text = README.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
    README.write_text(marked.sub(lambda match: match[1] + table + match[2], text), encoding="utf-8")


def readme_cell(line: dict[str, str], name: str) -> str:
    """One figure, with its interval where there is one."""
    if name == "setting":
        return line[name]
    digits = {"stoi": 3, "si_sdr": 1}.get(name, 2)
    half = line.get(f"{name}_half_width")
    return f"{float(line[name]):.{digits}f}" + (f" ± {float(half):.{digits}f}" if half else "")


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


def sections(valid: Path, other: Path | None, chosen: list[str], peers: str, metrics: str) -> dict[str, str]:
    """Measure the sections chosen; text by heading, in the order of the document."""
    common = ["--bitrates", "1.5,3,6,9", "--metrics", metrics]
    results: dict[str, str] = {}
    if "quality" in chosen:
        modes = ["--modes", "cbr,vbr", "--qualities", QUALITIES]
        more = [*common, *modes, "--peers", peers, "--split", "10", "--page-settings", PAGE]
        results["Quality on unseen speakers"] = quality_section(valid, "VALID", *more, keep=True)
    if "languages" in chosen and other is not None:
        more = [*common, "--peers", "opus"]
        results["Quality in other languages"] = quality_section(other, "OTHER", *more, keep=False)
    if "robustness" in chosen:
        results["Robustness"] = robustness_section(valid, other)
    if "rates" in chosen:
        results["Rate modes"] = rates_section(valid)
    if "small" in chosen:
        more = [*common, "--modes", "cbr,vbr", "--qualities", QUALITIES, "--split", "10"]
        quality = quality_section(valid, "VALID", *more, model=SMALL_MODEL, keep=False)
        speed = tool_section("bench_speed.py", "--model", SMALL_MODEL)
        hard = robustness_section(valid, other, "--model", SMALL_MODEL)
        results["The small model"] = f"{quality}\n{speed}\nHard sounds:\n{hard}"
    for key, title, name in (
        ("speed", "Speed", "bench_speed.py"),
        ("memory", "Memory", "bench_memory.py"),
        ("start", "Start-up", "bench_import.py"),
    ):
        if key in chosen:
            results[title] = tool_section(name)
    return results


def robustness_section(valid: Path, other: Path | None, *arguments: str) -> str:
    """What hard sounds come back as; the table is the tool's own Markdown."""
    command = [sys.executable, "tools/bench_robustness.py", str(valid.resolve())]
    shown = ["python", "tools/bench_robustness.py", "VALID"]
    if other is not None:
        command += ["--other", str(other.resolve())]
        shown += ["--other", "OTHER"]
    command, shown = [*command, *arguments], [*shown, *arguments]
    return f"```sh\n{' '.join(shown)}\n```\n{measured(command, shown)}\n"


def rates_section(valid: Path) -> str:
    """The rate modes compared, with their plot."""
    shown = ["python", "tools/bench_rates.py", "VALID", "--plot", "docs/rates.png"]
    command = [sys.executable, "tools/bench_rates.py", str(valid.resolve()), "--plot", str(PLOT)]
    output = measured(command, shown)
    return (
        f"```sh\n{' '.join(shown)}\n```\n{output}\n"
        f"\n![PESQ-WB of the rate modes over the bitrate of whole files]({PLOT.name})\n"
    )


def merged(old: str, new: dict[str, str]) -> str:
    """The document with new sections in place of those of the same heading; the others stay as they are."""
    parts = re.split(r"^## (.*)\n", old, flags=re.MULTILINE)
    texts = {title: text.rstrip("\n") + "\n" for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    texts |= new
    titles = [title for title in ORDER if title in texts]
    titles += [title for title in texts if title not in ORDER]
    return INTRODUCTION + machine() + "".join(f"\n## {title}\n{texts[title]}" for title in titles)


ORDER = (
    "Quality on unseen speakers",
    "Quality in other languages",
    "Robustness",
    "Rate modes",
    "The small model",
    "Speed",
    "Memory",
    "Start-up",
)
KEYS = ("quality", "languages", "robustness", "rates", "small", "speed", "memory", "start")


def main(
    valid: Annotated[Path, typer.Argument(help="Folder of the validation passages.")],
    other: Annotated[Path | None, typer.Option(help="Folder of speech in other languages.")] = None,
    peers: Annotated[str, typer.Option(help="Beside the model on VALID; opus is on the page.")] = "all",
    metrics: Annotated[str, typer.Option(help="Of the sections on quality.")] = METRICS,
    only: Annotated[str, typer.Option(help="Sections to measure again; the others stay.")] = ",".join(KEYS),
) -> None:
    """Measure the shipped models; write docs/results.md, README's table, plots and the listening page."""
    chosen = [word.strip() for word in only.split(",")]
    if set(chosen) - set(KEYS):
        typer.echo(f"error: --only takes {', '.join(KEYS)}, not {only!r}", err=True)
        raise typer.Exit(2)
    new = sections(valid, other, chosen, peers, metrics)
    # Read after measuring: another run may have written its sections meanwhile.
    old = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    TARGET.write_text(merged(old, new), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
