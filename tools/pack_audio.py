"""Join many audio files into a few FLAC parts with an index, for quick copying and a quick start of
training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codec.errors import CodecError, UsageError
from codec.training.packed import pack_clips
from codec.training.sources import Source


def main(
    paths: Annotated[list[str], typer.Argument(help="Folders, manifests or corpora, then the new folder.")],
    max_mb: Annotated[float, typer.Option(help="Largest part, in MiB.")] = 24.0,
    sample_rate: Annotated[
        int | None, typer.Option(min=1000, max=192_000, help="Resample all clips to this rate in Hz.")
    ] = None,
) -> None:
    """Pack folders, manifests and corpora: pack_audio.py IN... OUT."""
    try:
        if len(paths) < 2:
            raise UsageError("pack_audio.py needs sources and a new folder: pack_audio.py IN... OUT")
        out = Path(paths[-1])
        clips = [clip for text in paths[:-1] for clip in Source.parse(text).clips()]
        errors = pack_clips(clips, out, int(max_mb * 2**20), sample_rate)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    for skipped in errors:
        typer.echo(f"skipped: {skipped}", err=True)
    parts = sorted(out.glob("*.flac"))
    megabytes = sum(part.stat().st_size for part in parts) / 2**20
    typer.echo(f"{len(clips) - len(errors)} clips in {len(parts)} parts, {megabytes:.1f} MiB, in {out}")


if __name__ == "__main__":
    typer.run(main)
