"""Run a very long stream through encoder and decoder, and see that memory stays flat.

    python tools/soak.py [--hours 8] [--model FOLDER] [--packet-ms 400] [--loss 0.05] [--mode cbr] [--seed S]

Time is simulated: audio goes in as fast as it is coded. A container runs first, then packets of which some
are lost, each in all modes of rate control in turn. The resident set is read 24 times along each stream; what
it grows by after the second time must stay below 16 MB, and every sample that went in must come out.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import soundfile
import torch
import typer

from codec.checkpoint import load_model
from codec.model import CodecModel
from codec.pcm import Samples
from codec.streaming import Framing, StreamDecoder, StreamEncoder

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "tests" / "data" / "clips"
MODEL = ROOT / "tests" / "vectors" / "v1" / "models" / "golden_residual"
RATE = 16_000
GOAL_BYTES = 16e6
READINGS = 24
MODES: dict[str, dict[str, Any]] = {
    "cbr": {"num_codebooks": 4},
    "abr": {"mode": "abr", "bitrate": 0.75},
    "vbr": {"mode": "vbr", "quality": 5.0},
}


def sound(hours: float, rng: random.Random) -> Iterator[Samples]:
    """Clips in any order with pauses between them, a second ``[RATE, 1]`` at a time."""
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))]
    pending = np.zeros(0, np.float32)
    for _ in range(round(hours * 3600)):
        while len(pending) < RATE:
            pause = np.zeros(rng.randrange(3 * RATE), np.float32)
            pending = np.concatenate([pending, rng.choice(clips) * np.float32(rng.random()), pause])
        yield pending[:RATE, None]
        pending = pending[RATE:].copy()


def resident() -> int:
    """Bytes that this process holds in memory."""
    return int(psutil.Process().memory_info().rss)


class Soak:
    """One long stream, from audio to audio.

    Attributes:
        samples_in: pushed so far.
        samples_out: that came back so far.
        sizes: of the process in bytes, as it was read along the stream.
    """

    def __init__(
        self, model: CodecModel, framing: Framing, packet_ms: float, options: dict[str, Any]
    ) -> None:
        self._encoder = StreamEncoder(model, RATE, 1, packet_ms=packet_ms, framing=framing, **options)
        self._decoder = StreamDecoder(model, framing)
        self.samples_in = 0
        self.samples_out = 0
        self.sizes: list[int] = []

    def run(self, hours: float, loss: float, rng: random.Random) -> None:
        """Streams so many hours; the share `loss` of the parts is lost, but never the first two or the last.

        Who misses the first sound after the set-up joins late, and hears that much less.
        """
        sent = 0
        interval = max(round(hours * 3600 / READINGS), 1)
        for second, pcm in enumerate(sound(hours, rng)):
            if second % interval == 0:
                self.sizes.append(resident())
            self.samples_in += len(pcm)
            for part in self._encoder.push(pcm):
                if sent < 2 or rng.random() >= loss:
                    self.samples_out += len(self._decoder.push(part))
                sent += 1
        for part in self._encoder.flush():
            self.samples_out += len(self._decoder.push(part))
        self.samples_out += len(self._decoder.flush())
        self.sizes.append(resident())

    @property
    def growth(self) -> int:
        """Bytes by which the process grew after it had settled."""
        return max(self.sizes[1:]) - self.sizes[1]


def main(
    hours: Annotated[float, typer.Option(min=0.01, help="Length of each stream.")] = 8.0,
    model: Annotated[Path, typer.Option(help="Folder of a checkpoint.")] = MODEL,
    packet_ms: Annotated[float, typer.Option(help="Length of a live packet.")] = 400.0,
    loss: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of packets that are lost.")] = 0.05,
    mode: Annotated[list[str] | None, typer.Option(help="Mode of rate control; all by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; a new one is drawn by default.")] = None,
) -> None:
    """Run very long streams through encoder and decoder, and see that memory stays flat."""
    torch.set_num_threads(1)
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    typer.echo(f"seed {seed}")
    loaded = load_model(model)
    failed = False
    forms: tuple[tuple[Framing, float, float], ...] = (
        ("container", 2000.0, 0.0),
        ("packets", packet_ms, loss),
    )
    for framing, length, lost in forms:
        for name in mode or MODES:
            start = time.perf_counter()
            soak = Soak(loaded, framing, length, MODES[name])
            soak.run(hours, lost, random.Random(seed))
            typer.echo(
                f"{hours:g} h of {framing}, {name}: {time.perf_counter() - start:.0f} s, "
                f"{soak.sizes[-1] / 1e6:.1f} MB at the end, {soak.growth / 1e6:+.1f} MB since it settled"
            )
            if soak.growth > GOAL_BYTES or soak.samples_out != soak.samples_in:
                typer.echo(f"memory grows, or {soak.samples_out} of {soak.samples_in} samples came", err=True)
                failed = True
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
