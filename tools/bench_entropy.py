"""Measure what a model's entropy tables save on clips, and the time that coding and decoding take."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec import DEFAULT_MODEL
from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.api import Audio, Codec

ROOT = Path(__file__).resolve().parents[1]
# Before numpy is imported, for which it is meant: processor time counts threads that only spin.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


@dataclass
class Sums:
    """What clips took at one number of codebooks: seconds of sound and of work, bits."""

    audio: float = 0.0
    search: float = 0.0
    packing: float = 0.0
    unpacking: float = 0.0
    unpacking_together: float = 0.0
    index_bits: int = 0
    payload_bits: int = 0

    def row(self, num_codebooks: int) -> str:
        """One line of the table."""
        saved = 1 - self.payload_bits / self.index_bits
        share = self.packing / (self.search + self.packing)
        return (
            f"{num_codebooks:>9}  {self.index_bits / self.audio / 1000:>8.2f}"
            f"  {self.payload_bits / self.audio / 1000:>12.2f}  {saved:>6.1%}"
            f"  {1000 * self.search / self.audio:>7.2f}  {1000 * self.packing / self.audio:>6.2f}"
            f"  {share:>5.1%}  {1000 * self.unpacking / self.audio:>8.2f}"
            f"  {1000 * self.unpacking_together / self.audio:>8.2f}"
        )


def measure(codec: Codec, clips: list[Audio], num_codebooks: int, block_frames: int) -> Sums:
    """Code clips in blocks, one of them shorter; raises CodecError where a code does not come back."""
    from codec.bitstream import PayloadCoder

    bottleneck, sums = codec.model.bottleneck, Sums()
    sizes = (bottleneck.num_codebooks, bottleneck.bits_per_code, block_frames, 1)
    coder = PayloadCoder(*sizes, codec.model.entropy)
    payloads: list[bytes] = []
    for audio in clips:
        times = [time.process_time()]
        codes = codec.tokens(audio, codec.sample_rate, num_codebooks)[None]
        blocks = [codes[:, :, at : at + block_frames] for at in range(0, codes.shape[2], block_frames)]
        times.append(time.process_time())
        # As an encoder does it: none decodes in between.
        packed = [coder.pack(block) for block in blocks]
        times.append(time.process_time())
        found = [coder.unpack(payload)[:, :num_codebooks] for payload in packed]
        times.append(time.process_time())
        if any((back != block).any() for back, block in zip(found, blocks, strict=True)):
            raise CodecError("a payload does not unpack to its codes: report this defect")
        sums.audio += len(audio) / codec.sample_rate
        sums.search += times[1] - times[0]
        sums.packing += times[2] - times[1]
        sums.unpacking += times[3] - times[2]
        sums.index_bits += coder.raw_index_bits(codes)
        sums.payload_bits += 8 * sum(map(len, packed))
        payloads += packed
    start = time.process_time()
    coder.unpack_all(payloads)
    sums.unpacking_together = time.process_time() - start
    return sums


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    clips: Annotated[Path, typer.Option(help="Folder of clips.")] = ROOT / "tests" / "data" / "clips",
    codebooks: Annotated[str, typer.Option(help="Numbers of codebooks, with commas.")] = "3,6,12",
    packet_ms: Annotated[int, typer.Option(min=1, help="Length of a block.")] = 2000,
) -> None:
    """Compare payloads with their raw indices, everything in them counted, and time them on one thread.

    Coding is all that makes payloads of codes, and its share that of the whole encoding. They are decoded
    one by one, and all of them together, as those of a file are.
    """
    import torch

    from codec.api import Codec
    from codec.training.clips import read_clip
    from codec.training.sources import Source

    torch.set_num_threads(1)
    try:
        codec = Codec.load(model)
        if codec.model.entropy is None:
            raise CodecError(f"{model} has no entropy tables: make them with tools/make_entropy_tables.py")
        sounds = [read_clip(clip, codec.sample_rate)[:, 0] / 32768.0 for clip in Source(clips).clips()]
        sounds = [sound.astype("float32") for sound in sounds]
        block_frames = max(1, round(packet_ms * codec.model.frame_rate / 1000))
        codec.tokens(sounds[0], codec.sample_rate)
        typer.echo(f"{model}, {len(sounds)} clips, blocks of {block_frames} frames; CPU times in ms a second")
        typer.echo("codebooks  raw kbps  payload kbps  saved  encoder  coding  share  decoding  together")
        for text in codebooks.split(","):
            typer.echo(measure(codec, sounds, int(text), block_frames).row(int(text)))
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
