"""Plan a training on a machine that is lent for some minutes and sees nothing but what each call brings.

    python tools/train_remote.py --data FOLDER --noise FOLDER --valid FOLDER --model ../start .remote

packs sound, wheels and a model to start from into folders of `.remote`, each as large as a call may carry
beside the checkout, and prints the calls. docs/training.md tells the rest.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from codec.checkpoint import CONFIG_NAME, WEIGHTS_NAME, find_checkpoint
from codec.errors import CodecError, UsageError
from codec.training.packed import pack_clips
from codec.training.sources import Source

MIB = 2**20
_RESERVE = MIB  # for names, folders and what else a call may count
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")
# What a machine with torch and lightning lacks: soundfile with its two needs, and STOI for validation.
_WHEELS = ("soundfile", "cffi", "pycparser", "pystoi", "nvidia-ml-py")


@dataclass
class Call:
    """What one call carries: its folder, the files in it and their bytes."""

    folder: Path
    num_bytes: int = 0
    files: list[Path] = field(default_factory=list)


def checkout_bytes(root: Path) -> int:
    """How much every call brings anyway: the files that git tracks or does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return sum((root / name).stat().st_size for name in set(listed) if name and (root / name).is_file())


def room_of_a_call(root: Path, call_mb: float) -> int:
    """How many bytes a call may bring beside the checkout; UsageError where that alone is too large."""
    checkout = checkout_bytes(root)
    room = int(call_mb * MIB) - checkout - _RESERVE
    if room <= 0:
        raise UsageError(
            f"the checkout of {checkout / MIB:.1f} MiB leaves no room in a call of {call_mb:g}: take the "
            "weights out of it meanwhile with git sparse-checkout, as docs/training.md shows"
        )
    return room


def travels_anyway(folder: Path, root: Path) -> bool:
    """Whether a folder is of the checkout, and tracked by git."""
    if not folder.is_relative_to(root):
        return False
    command = ["git", "ls-files", "--error-unmatch", str(folder / WEIGHTS_NAME)]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def gather(gathered: Path, sources: dict[str, list[str]], model: Path | None, part_bytes: int) -> None:
    """Put what has to travel of sound and model into a new folder, as it will lie on the other machine."""
    for name, texts in sources.items():
        clips = [clip for text in texts for clip in Source.parse(text).clips()]
        for error in pack_clips(clips, gathered / name, part_bytes):
            typer.echo(f"skipped: {error}", err=True)
    if model is not None:
        (gathered / "model").mkdir()
        for file in (CONFIG_NAME, WEIGHTS_NAME):
            shutil.copyfile(model / file, gathered / "model" / file)


def download_wheels(folder: Path) -> None:
    """Fetch the wheels for Python 3.12 on 64-bit Linux; CodecError where pip cannot."""
    platforms = [option for platform in _PLATFORMS for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", *platforms, "-d", str(folder)]
    command += ["-c", str(Path(__file__).resolve().parents[1] / "constraints.txt"), *_WHEELS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CodecError(f"pip cannot fetch the wheels ({done.stderr.strip()}): is there a network?")


def share_out(gathered: Path, out: Path, budget: int) -> list[Call]:
    """Move files into the folders of calls, small ones first, each call holding at most `budget` bytes."""
    calls: list[Call] = []
    for path in sorted((path for path in gathered.rglob("*") if path.is_file()), key=_size):
        if _size(path) > budget:
            raise UsageError(
                f"{path.name} of {_size(path)} bytes is more than the {budget} that a call has room for: "
                "lower --max-mb, or take large files out of the checkout meanwhile"
            )
        call = next((call for call in calls if call.num_bytes + _size(path) <= budget), None)
        if call is None:
            call = Call(out / str(len(calls) + 1))
            calls.append(call)
        target = call.folder / path.relative_to(gathered)
        target.parent.mkdir(parents=True, exist_ok=True)
        call.num_bytes += _size(path)
        call.files.append(path.replace(target))
    shutil.rmtree(gathered)
    return calls


def plan(
    calls: list[Call], recipe: str, minutes: float, stop_after: float, trial: float, begin: str
) -> list[dict[str, object]]:
    """The calls in order: command, what it carries, and its limit in seconds.

    The first one tries the training out, so that what fails there is known before all data has been sent.
    """
    script = "bash tools/train_remote.sh"
    steps: list[dict[str, object]] = [
        {"command": f"{script} take {call.folder}", "carry": [str(call.folder)], "timeout_s": 120}
        for call in calls
    ]
    if trial:
        steps[0]["command"] = f"{steps[0]['command']} && {script} trial {recipe} {trial:g}{begin}"
        steps[0]["timeout_s"] = 300
    train = f"{script} train {recipe} {minutes:g} {stop_after:g}{begin}"
    count = max(1, -(-int(60 * minutes) // int(60 * stop_after)))
    return steps + [{"command": train, "carry": [], "timeout_s": 600} for _ in range(count)]


def _size(path: Path) -> int:
    return path.stat().st_size


def main(
    out: Annotated[Path, typer.Argument(help="New folder inside the checkout that git ignores.")],
    data: Annotated[list[str], typer.Option(help="What to train on, as of codec train.")],
    noise: Annotated[list[str], typer.Option(help="Noise to mix in.")],
    valid: Annotated[list[str], typer.Option(help="Clips to measure on.")],
    model: Annotated[str | None, typer.Option(help="Model to start from: a folder or a name.")] = None,
    recipe: Annotated[str, typer.Option(help="What is trained.")] = "recipes/speech_16k/gpu.yaml",
    minutes: Annotated[float, typer.Option(help="Length of the training.")] = 19.0,
    stop_after: Annotated[float, typer.Option(help="Minutes of one call; --resume goes on.")] = 6.9,
    trial: Annotated[
        float, typer.Option(help="Minutes of a trial in the first call, on the noise; 0 for none.")
    ] = 1.0,
    call_mb: Annotated[float, typer.Option(help="MiB that a call may bring, the checkout included.")] = 64.0,
    max_mb: Annotated[float, typer.Option(help="Largest part of packed sound, in MiB.")] = 24.0,
    wheels: Annotated[bool, typer.Option(help="Fetch the wheels that such machines lack.")] = True,
) -> None:
    """Plan a training on a lent machine."""
    root = Path.cwd()
    begin = ""
    try:
        if out.is_absolute() or out.exists():
            raise UsageError(f"{out} must be a new folder, named relative to the checkout: name another one")
        start = None if model is None else find_checkpoint(model).resolve()
        if start is not None and travels_anyway(start, root):
            begin, start = f" --init-from {start.relative_to(root)}", None
        budget = room_of_a_call(root, call_mb)
        try:
            sources = {"train": data, "noise": noise, "valid": valid}
            gather(out / "all", sources, start, min(int(max_mb * MIB), budget))
            if wheels:
                download_wheels(out / "all" / "wheels")
            calls = share_out(out / "all", out, budget)
        except CodecError:
            shutil.rmtree(out, ignore_errors=True)
            raise
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    steps = plan(calls, recipe, minutes, stop_after, trial, begin)
    (out / "calls.json").write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")
    for call in calls:
        typer.echo(f"{call.folder}: {len(call.files)} files, {call.num_bytes / MIB:.1f} MiB", err=True)
    typer.echo(json.dumps(steps, indent=1))


if __name__ == "__main__":
    typer.run(main)
