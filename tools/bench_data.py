"""Time the data of a training: loading a source, and segments a second on one core without loader workers."""

from __future__ import annotations

import time
from typing import Annotated

import torch
import typer

from codec.errors import CodecError
from codec.training.augment import AugmentConfig
from codec.training.data import AudioDataModule, DataConfig

_BATCH = 16


def segments_per_second(data: AudioDataModule, seconds: float) -> float:
    """Segments that the data set of `data` makes in a second, measured for `seconds`."""
    data.dataset.batch(0, _BATCH)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        data.dataset.batch(count, _BATCH)
        count += _BATCH
    return count / (time.perf_counter() - start)


def main(
    source: Annotated[str, typer.Argument(help="Folder, manifest, corpus or packed parts.")],
    noise: Annotated[str | None, typer.Option(help="Source of noise for augmentation.")] = None,
    sample_rate: Annotated[int, typer.Option(help="Rate of the segments in Hz.")] = 16_000,
    seconds: Annotated[float, typer.Option(help="Time for each measurement.")] = 3.0,
) -> None:
    """Print the time to load SOURCE, and segments of 1 s a second with more and more augmentation."""
    torch.set_num_threads(1)
    everything = AugmentConfig(noise_probability=1.0, speed_probability=1.0, equalize_probability=1.0)
    some = AugmentConfig(noise_probability=0.3, speed_probability=0.3, equalize_probability=0.3)
    rows = {
        "gain alone": AugmentConfig(noise_probability=0.0),
        "all on 3 of 10": some,
        "all on all": everything,
    }
    try:
        for name, augment in rows.items():
            data = AudioDataModule(
                DataConfig(augment=augment), sample_rate, [source], [noise] if noise else []
            )
            start = time.perf_counter()
            data.setup()
            loaded = time.perf_counter() - start
            print(f"{name}: loaded in {loaded:.1f} s, {segments_per_second(data, seconds):.0f} segments/s")
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
