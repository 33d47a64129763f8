"""Feed mutated golden vectors to the reader and the entropy decoder, or to the whole decoder.

    python tools/fuzz_bitstream.py [--count 1000000] [--full] [--seed S] [--first I] [--vectors FOLDER]

Each input depends on the seed and its number alone, and the seed is printed: `--seed S --first I --count 1`
repeats input I. An input fails where anything but CodecError is raised, where what is told of it contradicts
itself, or where it takes too much processor time or memory. The first failure ends the run with exit code 1.
"""

from __future__ import annotations

import io
import random
import resource
import secrets
import signal
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from mutations import Mutator, Seedling, load_seedlings

from codec.bitstream import (
    BlockRead,
    Codes,
    ContainerReader,
    Lost,
    PacketReader,
    PayloadCoder,
    SeekableStream,
    StreamEnd,
    StreamHeader,
)
from codec.bitstream.codes import codebooks_sent
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.pcm import Samples
from codec.streaming import SpanDecoder, StreamDecoder
from codec.streaming.setup import check_model

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "vectors" / "v1"
# Of processor time, so that other work on the machine does not count.
PARSE_SECONDS = 2.0
# So many frames are decoded of an input whose blocks claim years of silence.
FULL_FRAMES = 1 << 14
FULL_SECONDS = 20.0
PARSE_BYTES = 16 << 20
RSS_GROWTH_BYTES = 64 << 20
TRACED_ONE_IN = 1000
SOUGHT_SHARE = 0.2
TOGETHER_SHARE = 0.1
TOLD_EVERY = 100_000


class Failure(Exception):
    """What no input may bring about."""


@dataclass
class Statistics:
    """What became of the inputs."""

    counts: Counter[str]
    slowest: float = 0.0
    peak_bytes: int = 0


def parse(seedling: Seedling, parts: list[bytes], rng: random.Random, counts: Counter[str]) -> None:
    """Read an input, decode its payloads, and check what is told."""
    container = seedling.framing == "container"
    reader = ContainerReader() if container else PacketReader()
    total = sum(map(len, parts))
    coders: dict[StreamHeader, PayloadCoder] = {}
    payloads: list[bytes] = []
    clock, ended, whole = None, False, False
    blocks: set[int] = set()
    pushes: list[bytes] = list(cut(b"".join(parts), rng)) if container else parts
    for data in [*pushes, None]:
        for event in reader.push(data) if data is not None else reader.finish():
            require(not ended, "an event follows the end")
            if isinstance(event, StreamEnd):
                ended, whole = True, event.reason is None
            if not isinstance(event, BlockRead | Lost):
                continue
            require(event.position >= 0 and (clock is None or event.position >= clock), "the clock goes back")
            clock = event.position
            if isinstance(event, BlockRead):
                assert reader.header is not None
                blocks.add(event.position)
                coder = coders.setdefault(reader.header, coder_of(reader.header, seedling.model))
                unpack(coder, event.payload, counts)
                payloads.append(event.payload)
    for coder in coders.values():
        if rng.random() < TOGETHER_SHARE:
            unpack_together(coder, payloads)
    require(ended, "the end is missing")
    told = reader.payload_bytes + reader.container_bytes + reader.skipped_bytes
    require(told == total, f"{told} bytes are told of {total}")
    if whole and container and rng.random() < SOUGHT_SHARE:
        seek(b"".join(parts), blocks, rng)


def seek(data: bytes, blocks: set[int], rng: random.Random) -> None:
    """Read a span of an input, and see that it has the blocks which the whole reading has there."""
    stream = SeekableStream(io.BytesIO(data))
    length = stream.header.block_frames
    start = rng.choice([0, *sorted(blocks), rng.randrange(1 << 10)])
    stop = rng.choice([None, start + 1, start + rng.randrange(1, 1 << 10)])
    found = {event.position for event in stream.events(start, stop) if isinstance(event, BlockRead)}
    meant = {at for at in blocks if at + length > start and (stop is None or at < stop)}
    require(found == meant, f"from {start} to {stop} lie other blocks than in the whole reading")


def coder_of(header: StreamHeader, model: CodecModel) -> PayloadCoder:
    """What unpacks the payloads of a header, with the model's tables where it is the model's."""
    sizes = (header.num_codebooks, header.bits_per_code, header.block_frames, header.channels)
    try:
        check_model(header, model, "the stream")
    except CodecError:
        return PayloadCoder(*sizes)
    return PayloadCoder(*sizes, model.entropy)


def unpack(coder: PayloadCoder, payload: bytes, counts: Counter[str]) -> None:
    """Decode a payload, or see it refused."""
    try:
        codes = coder.unpack(payload)
    except CodecError as error:
        require(not isinstance(error, UsageError), f"a payload is refused as bad usage: {error}")
        counts["payloads refused"] += 1
        return
    counts["payloads decoded"] += 1
    require(codes.shape[:2] == (coder.channels, coder.num_codebooks), f"codes of shape {codes.shape}")
    require(1 <= codes.shape[2] <= coder.block_frames, f"codes of shape {codes.shape}")
    require(codes.min() >= -1 and codes.max() < 1 << coder.bits_per_code, "a code is out of range")
    codebooks_sent(codes)


def unpack_together(coder: PayloadCoder, payloads: list[bytes]) -> None:
    """See that payloads which are decoded together give what each gives by itself."""
    for payload, found in zip(payloads, coder.unpack_all(payloads), strict=True):
        try:
            alone: Codes | CodecError = coder.unpack(payload)
        except CodecError as error:
            alone = error
        if isinstance(alone, CodecError) or isinstance(found, CodecError):
            require(str(alone) == str(found), f"together a payload gives {found}, by itself {alone}")
        else:
            require(np.array_equal(alone, found), "together payloads give other codes")


def decode(seedling: Seedling, parts: list[bytes], rng: random.Random, counts: Counter[str]) -> None:
    """Play an input, and check the sound."""
    decoder = StreamDecoder(seedling.model, seedling.framing)
    container = seedling.framing == "container"
    pushes = list(cut(b"".join(parts), rng)) if container else parts
    played: list[Samples] = []
    for data in [*pushes, None]:
        for piece in decoder.pieces(data) if data is not None else decoder.last_pieces():
            header = decoder.header
            assert header is not None
            shape_holds = piece.dtype == np.float32 and piece.shape[1:] == (header.channels,)
            require(shape_holds, f"sound of {piece.dtype} {piece.shape}")
            require(bool(np.isfinite(piece).all()), "the sound is not finite")
            played.append(piece)
            limit = FULL_FRAMES * header.hop * header.sample_rate // header.coded_rate
            if sum(map(len, played)) > limit:
                counts["cut short"] += 1
                return
    counts["damaged" if decoder.damage else "undamaged"] += 1
    if container and seedling.model.decoder.memory is not None:
        play_span(seedling.model, b"".join(parts), np.concatenate(played), rng)


def play_span(model: CodecModel, data: bytes, whole: Samples, rng: random.Random) -> None:
    """Decode a span of an input by itself, and compare it with the sound of the whole."""
    stream = SeekableStream(io.BytesIO(data))
    rate, channels = stream.header.sample_rate, stream.header.channels
    start, count = rng.randrange(len(whole) + 10), rng.choice((None, rng.randrange(1, rate)))
    decoder = SpanDecoder(model, stream, start / rate, None if count is None else count / rate)
    part = np.concatenate([np.zeros((0, channels), np.float32), *decoder.pieces()])
    meant = whole[start:] if count is None else whole[start : start + count]
    require(np.array_equal(part, meant), f"{count} samples from {start} on are not those of the whole")


def cut(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Data in pieces of one size, often small."""
    size = rng.choice((1 << 30, 1 << 30, 1000, 100, 17, 5))
    for start in range(0, len(data), size):
        yield data[start : start + size]


def require(holds: bool, message: str) -> None:
    """Fail the input where a promise is broken."""
    if not holds:
        raise Failure(message)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fail what takes more processor time."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def too_slow(*_: object) -> None:
    """Handler of the timer."""
    raise Failure("the input takes too much processor time")


def run_one(mutator: Mutator, rng: random.Random, full: bool, traced: bool, statistics: Statistics) -> None:
    """Draw an input and put it through the reader or the decoder."""
    seedling, parts = mutator.draw()
    if traced:
        tracemalloc.start()
    start = time.process_time()
    try:
        with limited(FULL_SECONDS if full else PARSE_SECONDS):
            (decode if full else parse)(seedling, parts, rng, statistics.counts)
    except CodecError as error:
        require(not isinstance(error, UsageError), f"a stream is refused as bad usage: {error}")
        require("\n" not in str(error), "a refusal takes more than a line")
        statistics.counts["refused"] += 1
    if not traced:
        statistics.slowest = max(statistics.slowest, time.process_time() - start)
        return
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    statistics.peak_bytes = max(statistics.peak_bytes, peak)
    require(full or peak < PARSE_BYTES, f"the input takes {peak} bytes of memory")


def peak_rss() -> int:
    """Bytes that this process held at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(
    count: Annotated[int, typer.Option(min=1, help="Inputs to try.")] = 100_000,
    full: Annotated[bool, typer.Option("--full", help="Decode to sound.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed; a new one is drawn by default.")] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first input.")] = 0,
    vectors: Annotated[Path, typer.Option(help="Folder of golden vectors.")] = VECTORS,
) -> None:
    """Feed mutated golden vectors to the reader and the entropy decoder, or to the whole decoder."""
    torch.set_num_threads(1)
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    typer.echo(f"seed {seed}")
    seedlings = load_seedlings(vectors)
    statistics = Statistics(Counter())
    signal.signal(signal.SIGPROF, too_slow)
    start, warm = time.perf_counter(), 0
    for index in range(first, first + count):
        rng = random.Random(f"{seed} {index}")
        try:
            run_one(Mutator(rng, seedlings), rng, full, index % TRACED_ONE_IN == 999, statistics)
        except Exception as error:
            typer.echo(f"input {index} of seed {seed} fails: {type(error).__name__}: {error}", err=True)
            raise
        done = index - first + 1
        if done == max(count // 10, 1):
            warm = peak_rss()
        if done % TOLD_EVERY == 0:
            typer.echo(f"{done} inputs so far, {peak_rss() / 1e6:.0f} MB")
    seconds = time.perf_counter() - start
    growth = peak_rss() - warm
    listed = ", ".join(f"{value} {name}" for name, value in sorted(statistics.counts.items()))
    typer.echo(f"{count} inputs in {seconds:.0f} s ({count / seconds:.0f} a second): {listed}")
    typer.echo(
        f"slowest {statistics.slowest * 1000:.0f} ms of processor time, "
        f"at most {statistics.peak_bytes / 1e3:.0f} kB traced, resident set grew by {growth / 1e6:.1f} MB"
    )
    if growth > RSS_GROWTH_BYTES:
        typer.echo("memory grows", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
