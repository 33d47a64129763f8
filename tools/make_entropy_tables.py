"""Make the entropy tables of a model of training sound, and write them into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.api import Codec
    from codec.bitstream import Codes
    from codec.training.clips import Clip


def find_clips(sources: list[str]) -> list[Clip]:
    """The clips of all sources but those of validation speakers, on whom the tables are to be measured."""
    from codec.training.corpora import without_validation_speakers
    from codec.training.sources import Source

    clips = [clip for source in sources for clip in Source.parse(source).clips()]
    kept = without_validation_speakers(clips)
    if not kept:
        raise CodecError(f"{', '.join(sources)}: all of it is of validation speakers; name other sound")
    return kept


def code(codec: Codec, clips: list[Clip]) -> list[Codes]:
    """The codes ``[M, F]`` of every channel of the clips.

    Where a number of codebooks has codes of its own, each clip gets another number and -1 beyond it.
    """
    import numpy as np

    from codec.training.clips import read_clip

    bottleneck = codec.model.bottleneck
    found = []
    for index, clip in enumerate(track(clips, "coding", disable=None)):
        audio = read_clip(clip, codec.sample_rate).astype(np.float32) / 32768.0
        n = bottleneck.num_codebooks
        if not bottleneck.prefix_decodable:
            n = index % n + 1
        for channel in audio.T:
            codes = codec.tokens(channel, codec.sample_rate, n)
            found.append(np.pad(codes, ((0, bottleneck.num_codebooks - n), (0, 0)), constant_values=-1))
    return found


def make(model: str, sources: list[str], epochs: float) -> Path:
    """Fit tables for a model to sound and write them beside its weights; returns their file."""
    import torch

    from codec.api import Codec
    from codec.atomic import AtomicFile
    from codec.bitstream.tables import TABLES_NAME
    from codec.checkpoint import find_checkpoint
    from codec.training.entropy import fit_tables

    folder = find_checkpoint(model)
    clips = find_clips(sources)
    torch.set_num_threads(1)
    codec = Codec.load(folder)
    tables = fit_tables(codec.model.bottleneck, code(codec, clips), epochs)
    with AtomicFile(folder / TABLES_NAME, force=True) as file:
        file.write(tables.to_bytes())
    return folder / TABLES_NAME


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of a checkpoint.")],
    data: Annotated[list[str], typer.Argument(help="Folders, manifests or corpora, as for training.")],
    epochs: Annotated[float, typer.Option(min=0.0, help="How often each frame is seen.")] = 4.0,
) -> None:
    """Fit the entropy tables of a model, minutes for hours of sound. Its id changes with them."""
    try:
        path = make(model, data, epochs)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
