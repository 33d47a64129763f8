"""Measure how well and how fast residual codebooks are searched in fewer directions than latents have.

    OMP_NUM_THREADS=1 python tools/bench_search.py FOLDER [--model NAME|FOLDER]

The latents are those of a minute of the folder's speech. Errors are mean squares of what the words leave of
them, times are processor time of the best of a few rounds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from bench_speed import speech
from torch import Tensor

from codec import DEFAULT_MODEL
from codec.api import Codec
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.quantize.residual import ResidualVQ, residual_search
from codec.quantize.subspace import LEFT_OUT, Subspace

# Shares of a codebook's energy that may be left out.
SHARES = (0.0, LEFT_OUT / 10, LEFT_OUT, 2 * LEFT_OUT, 5 * LEFT_OUT)


def latents(model: CodecModel, folder: Path, seconds: float) -> Tensor:
    """Latents ``[F, D]`` of speech."""
    engine, config = Engine(model), model.config
    hops = round(seconds * config.sample_rate) // config.hop
    audio = speech(folder, hops * config.hop / config.sample_rate, config.sample_rate)
    return engine.latents(torch.from_numpy(audio), engine.start_encoder())[0].t().contiguous()


def row(quantizer: ResidualVQ, z: Tensor, share: float, counts: list[int], rounds: int) -> str:
    """One line of the table."""
    # None of it: more than all is wanted, since rounding may keep a sum from all.
    space, cells = Subspace(quantizer.words, share or -1.0), []
    for count in counts:
        limits, times = torch.full((len(z),), count), []
        for _ in range(rounds):
            start = time.process_time()
            with torch.inference_mode():
                codes = residual_search(space.distances, space.project(z), limits, quantizer.beam)
            times.append(time.process_time() - start)
        error = float((z - quantizer.decode(codes)).square().mean())
        cells.append(f"{error:.5f}, {min(times):.2f} s")
    directions = space.distances.words.shape[2]
    return f"| {100 * share:g} % | {directions} | {' | '.join(cells)} |"


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of speech.")],
    model: Annotated[str, typer.Option(help="A model by its name, or its folder.")] = DEFAULT_MODEL,
    seconds: Annotated[float, typer.Option(min=0.1, help="How much speech.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of which the best counts.")] = 3,
) -> None:
    """Print errors and times for several shares of left out energy."""
    torch.set_num_threads(1)
    try:
        loaded = Codec.load(model).model
        quantizer = loaded.bottleneck.quantizer
        if not isinstance(quantizer, ResidualVQ):
            raise UsageError(f"{model} has no residual codebooks: name a model that has")
        z = latents(loaded, folder, seconds)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    most = quantizer.num_codebooks
    counts = sorted({max(most * share // 20, 1) for share in (3, 6, 12, 20)})
    typer.echo(f"| left out | directions | {' | '.join(f'{count} codebooks' for count in counts)} |")
    typer.echo(f"|---|---|{'---|' * len(counts)}")
    for share in SHARES:
        typer.echo(row(quantizer, z, share, counts, rounds))


if __name__ == "__main__":
    typer.run(main)
