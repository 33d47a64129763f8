"""Time the codec on one thread: whole files at several rates and in all modes, live steps of 20 ms, and
EnCodec's layout beside it.

    OPENBLAS_NUM_THREADS=1 python tools/bench_speed.py [--model NAME|FOLDER|RECIPE.yaml]

Speech is the project's clips, repeated. The model is loaded and warm before the clock starts; that of a
recipe has random weights. Speeds are told by the clock, and in brackets by the processor's time, which other
work on the machine disturbs less; each is the best of three rounds through all rates, so that a machine that
is slow for some seconds is so for one round. Goals: files at 50 times real time each way, the 99th percentile
of a live step below 10 ms.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from codec import DEFAULT_MODEL
from codec.api import Codec
from codec.config import CodecConfig, from_mapping, read_yaml
from codec.errors import CodecError
from codec.evaluation.evaluate import load_clips
from codec.model import CodecModel
from codec.resample import Resampler
from codec.streaming import Mode, StreamDecoder, StreamEncoder, TwoPassEncoder

ROOT = Path(__file__).resolve().parent.parent
STEP_MS = 20
ROUNDS = 3
RATES = "cbr:6,cbr:1.5,cbr:3,cbr:10,abr:3,abr:6,abr:10,two:6,vbr:5,vbr:10"

Pcm = NDArray[np.float32]


class Seconds(NamedTuple):
    """What work took by the clock and of the processor."""

    clock: float
    processor: float

    def and_then(self, other: Seconds) -> Seconds:
        """Of this work and other work after it."""
        return Seconds(self.clock + other.clock, self.processor + other.processor)

    def speed(self, seconds: float) -> str:
        """Of work on so many seconds of sound, times real time."""
        return f"{seconds / self.clock:7.1f} ({seconds / self.processor:6.1f})"


class Rate(NamedTuple):
    """A rate mode, "two" for abr in two passes, and its target: kbit/s, or in vbr the quality."""

    mode: Mode | Literal["two"]
    target: float


def make_encoder(model: CodecModel, rate: Rate) -> StreamEncoder | TwoPassEncoder:
    """An encoder of one channel at the model's rate."""
    sample_rate = model.config.sample_rate
    if rate.mode == "two":
        return TwoPassEncoder(model, sample_rate, bitrate=rate.target)
    if rate.mode == "vbr":
        return StreamEncoder(model, sample_rate, mode="vbr", quality=rate.target)
    return StreamEncoder(model, sample_rate, bitrate=rate.target, mode=rate.mode)


def load(name: str) -> CodecModel:
    """A checkpoint's model, or that of a recipe with random weights."""
    if not name.endswith(".yaml"):
        return Codec.load(name).model
    config = from_mapping(CodecConfig, read_yaml(Path(name)).get("model"), f"{name}: model")
    return CodecModel(config).requires_grad_(False).eval()


def speech(folder: Path, seconds: float, sample_rate: int) -> Pcm:
    """The clips of a folder one after another, first channel, repeated to [seconds * sample_rate]."""
    parts = [
        resample(clip.audio.reshape(len(clip.audio), -1)[:, 0], clip.sample_rate, sample_rate)
        for clip in load_clips(folder)
    ]
    return np.resize(np.concatenate(parts), round(seconds * sample_rate))


def resample(audio: Pcm, sample_rate: int, target_rate: int) -> Pcm:
    """Audio [T] at another rate."""
    resampler = Resampler(sample_rate, target_rate, 1)
    return np.concatenate([resampler.push(audio[:, None]), resampler.flush()])[:, 0]


def timed(function: Callable[[], object]) -> Seconds:
    """What one call takes."""
    start, begun = time.perf_counter(), time.process_time()
    function()
    return Seconds(time.perf_counter() - start, time.process_time() - begun)


def fastest(functions: Sequence[Callable[[], object]]) -> list[Seconds]:
    """The shortest times of several rounds of calls: other work on the machine only ever adds to them."""
    rounds = [[timed(function) for function in functions] for _ in range(ROUNDS)]
    return [Seconds(*map(min, zip(*times, strict=True))) for times in zip(*rounds, strict=True)]


def encode(model: CodecModel, audio: Pcm, rate: Rate) -> bytes:
    """A clip [T] at the model's rate as a file's bytes."""
    encoder = make_encoder(model, rate)
    return b"".join([*encoder.push(audio), *encoder.flush()])


def time_files(model: CodecModel, audio: Pcm, rates: list[Rate]) -> dict[Rate, tuple[Seconds, Seconds]]:
    """Encoding and decoding of a clip [T] at the model's rate."""
    codec, work = Codec(model), []
    for rate in rates:
        data = encode(model, audio, rate)
        work += [partial(encode, model, audio, rate), partial(codec.decode, data)]
    times = fastest(work)
    return dict(zip(rates, zip(times[::2], times[1::2], strict=True), strict=True))


def live_steps(model: CodecModel, audio: Pcm, bitrate: float) -> tuple[list[Seconds], list[Seconds]]:
    """Every 20 ms step of a live encoder, and of a live decoder that is fed with its packets."""
    sample_rate = model.config.sample_rate
    encoder = StreamEncoder(model, sample_rate, bitrate=bitrate, packet_ms=STEP_MS)
    decoder = StreamDecoder(model)
    step = sample_rate * STEP_MS // 1000
    steps = []
    for at in range(0, len(audio) - step + 1, step):
        times = [(time.perf_counter(), time.process_time())]
        packet = b"".join(encoder.push(audio[at : at + step]))
        times.append((time.perf_counter(), time.process_time()))
        decoder.push(packet)
        times.append((time.perf_counter(), time.process_time()))
        steps.append([Seconds(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(times)])
    encoding, decoding = zip(*steps, strict=True)
    return list(encoding), list(decoding)


def step_line(label: str, steps: list[Seconds]) -> str:
    """The middle and the high end of live steps, in ms."""
    clock = 1000.0 * np.percentile([step.clock for step in steps], [50, 99])
    processor = 1000.0 * np.percentile([step.processor for step in steps], [50, 99])
    high = [
        f"{name} {a:.2f} ({b:.2f}) ms" for name, a, b in zip(("p50", "p99"), clock, processor, strict=True)
    ]
    return f"live    {label} a {STEP_MS} ms step: {'   '.join(high)}"


@torch.no_grad()
def whole_pass(config: Path, audio: Pcm, sample_rate: int) -> tuple[Seconds, Seconds, CodecModel]:
    """Networks of a configuration, random weights, over [T] in one pass: encoding and decoding."""
    model = load(str(config))
    samples = resample(audio, sample_rate, model.config.sample_rate)
    whole = torch.from_numpy(samples[: len(samples) // model.config.hop * model.config.hop].copy())[None]
    z = model.encoder(whole)
    encoding, decoding = fastest([partial(model.encoder, whole), partial(model.decoder, z)])
    return encoding, decoding, model


def parse_rates(text: str) -> list[Rate]:
    """Rates like "cbr:6,vbr:5"."""
    rates = []
    for part in text.split(","):
        mode, _, target = part.partition(":")
        if mode not in ("cbr", "abr", "two", "vbr") or not target.replace(".", "", 1).isdecimal():
            raise typer.BadParameter(
                f"{part} is no rate like cbr:6, abr:3, two:3 or vbr:5", param_hint="--rates"
            )
        rates.append(Rate(mode, float(target)))  # type: ignore[arg-type]
    return rates


def report(name: str, audio: Pcm, rates: list[Rate], bitrate: float, layout: Path) -> None:
    """Time all, and print it."""
    model = load(name)
    rate, title = model.config.sample_rate, model.config.name
    seconds = len(audio) / rate
    live_steps(model, audio[:rate], bitrate)
    typer.echo(
        f"{title}, {seconds:g} s of speech, 1 thread; times real time by the clock (by processor time)"
    )
    typer.echo("files           encode            decode        round trip")
    totals = time_files(model, audio, rates)
    for each, (encoding, decoding) in totals.items():
        speeds = "  ".join(part.speed(seconds) for part in (encoding, decoding, encoding.and_then(decoding)))
        typer.echo(f"{each.mode} {each.target:4g}  {speeds}")
    for label, steps in zip(("encode", "decode"), live_steps(model, audio, bitrate), strict=True):
        typer.echo(step_line(label, steps))
    *times, other = whole_pass(layout, audio, rate)
    typer.echo(f"{other.config.name} (random weights, one pass over the whole, networks only)")
    typer.echo(
        f"          {'  '.join(part.speed(seconds) for part in (*times, times[0].and_then(times[1])))}"
    )
    first = totals[rates[0]]
    ratios = [theirs.processor / ours.processor for theirs, ours in zip(times, first, strict=True)]
    typer.echo(f"{title} is {ratios[0]:.1f} times as fast to encode, {ratios[1]:.1f} times to decode")


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint, or a recipe.")] = DEFAULT_MODEL,
    clips: Annotated[Path, typer.Option(help="Folder of speech clips.")] = ROOT / "tests" / "data" / "clips",
    seconds: Annotated[float, typer.Option(min=1.0, help="Length of the speech.")] = 60.0,
    rates: Annotated[
        str,
        typer.Option(help="Modes (two: abr in two passes) and kbit/s or quality; the first is compared."),
    ] = RATES,
    bitrate: Annotated[float, typer.Option(help="kbit/s of live steps.")] = 6.0,
    layout: Annotated[Path, typer.Option(help="Configuration to compare with.")] = ROOT
    / "recipes"
    / "encodec_24k"
    / "config.yaml",
) -> None:
    """Time whole files, live steps, and another layout beside them, on one thread."""
    torch.set_num_threads(1)
    wanted = parse_rates(rates)
    try:
        sample_rate = load(model).config.sample_rate
        report(model, speech(clips, seconds, sample_rate), wanted, bitrate, layout)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
