"""Cut the validation passages of a recipe from LibriSpeech, as its valid.csv names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import soundfile
import typer

from codec.errors import CodecError
from codec.training.manifest import read_rows

VALID_LIST = Path(__file__).resolve().parent.parent / "recipes" / "speech_16k" / "valid.csv"
_COLUMNS = ("utterance", "subset", "start_seconds", "end_seconds", "speaker")


def cut_passages(librispeech: Path, out: Path, passages: Path = VALID_LIST) -> list[Path]:
    """Write each passage of the list as OUT/librispeech-UTTERANCE.flac, 16 bits, samples unchanged.

    librispeech: the corpus' top folder, which holds its subsets (`LibriSpeech/`), or the folder that holds
    that. Returns the files in the order of the list. Raises CodecError, before anything is written, where an
    utterance is missing, is unreadable or ends before its passage does.
    """
    root = librispeech / "LibriSpeech" if (librispeech / "LibriSpeech").is_dir() else librispeech
    cuts = [_locate(root, where, row) for where, row in read_rows(passages, _COLUMNS)]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for source, start, frames, rate in cuts:
        samples, _ = soundfile.read(str(source), frames=frames, start=start, dtype="int16")
        target = out / f"librispeech-{source.name}"
        partial = target.with_suffix(".partial")
        soundfile.write(str(partial), samples, rate, subtype="PCM_16", format="FLAC")
        os.replace(partial, target)
        written.append(target)
    return written


def _locate(root: Path, where: str, row: dict[str, str]) -> tuple[Path, int, int, int]:
    """File, first sample, number of samples and rate of a passage."""
    try:
        speaker, chapter, _ = row["utterance"].split("-")
        start, end = float(row["start_seconds"]), float(row["end_seconds"])
    except ValueError as error:
        raise CodecError(
            f"{where} is no passage of LibriSpeech; name SPEAKER-CHAPTER-UTT and seconds"
        ) from error
    source = root / row["subset"] / speaker / chapter / f"{row['utterance']}.flac"
    try:
        info = soundfile.info(str(source))
    except (soundfile.SoundFileError, OSError) as error:
        raise CodecError(f"{source} is missing or unreadable; unpack {row['subset']} there") from error
    first, last = round(start * info.samplerate), round(end * info.samplerate)
    if not 0 <= first < last <= info.frames:
        raise CodecError(f"{source} has {info.frames} samples, {where} asks for {last}; unpack it anew")
    return source, first, last - first, info.samplerate


def main(
    librispeech_root: Annotated[Path, typer.Argument(help="Folder LibriSpeech/, or the one that holds it.")],
    out: Annotated[Path, typer.Argument(help="Folder for the passages.")],
    passages: Annotated[Path, typer.Option("--list", help="csv of the passages.")] = VALID_LIST,
) -> None:
    """Cut the validation passages from LibriSpeech."""
    try:
        written = cut_passages(librispeech_root, out, passages)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{len(written)} passages in {out}")


if __name__ == "__main__":
    typer.run(main)
