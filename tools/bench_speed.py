"""Time the codec on one thread: whole files, live steps of 20 ms, and EnCodec's layout beside it.

    python tools/bench_speed.py [--model NAME|FOLDER]

Speech is the project's clips, repeated. The model is loaded and warm before the clock starts. Goals: files at
20 times real time each way, the 99th percentile of a live step below 10 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from codec.api import Codec
from codec.config import CodecConfig, from_mapping, read_yaml
from codec.errors import CodecError
from codec.evaluation.evaluate import load_clips
from codec.model import CodecModel
from codec.resample import Resampler
from codec.streaming import StreamDecoder, StreamEncoder

ROOT = Path(__file__).resolve().parent.parent
STEP_MS = 20
REPEATS = 3

Pcm = NDArray[np.float32]


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


def fastest(function: Callable[[], object]) -> float:
    """The shortest of several wall times in seconds: other work on the machine only ever adds to it."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def file_speeds(codec: Codec, audio: Pcm, bitrate: float) -> tuple[float, float]:
    """Encoding and decoding of a whole clip [T] at the codec's rate, in times real time."""
    seconds = len(audio) / codec.sample_rate
    data = codec.encode(audio, codec.sample_rate, bitrate)
    encode = fastest(lambda: codec.encode(audio, codec.sample_rate, bitrate))
    return seconds / encode, seconds / fastest(lambda: codec.decode(data))


def live_steps(codec: Codec, audio: Pcm, bitrate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wall times in ms of every 20 ms step of a live encoder and of a live decoder fed with its packets."""
    encoder = StreamEncoder(codec.model, codec.sample_rate, 1, bitrate, packet_ms=STEP_MS)
    decoder = StreamDecoder(codec.model)
    step = codec.sample_rate * STEP_MS // 1000
    times = []
    for at in range(0, len(audio) - step + 1, step):
        start = time.perf_counter()
        packet = b"".join(encoder.push(audio[at : at + step]))
        middle = time.perf_counter()
        decoder.push(packet)
        times.append((middle - start, time.perf_counter() - middle))
    encode, decode = 1000.0 * np.array(times).T
    return encode, decode


@torch.inference_mode()
def whole_pass_speeds(config: Path, audio: Pcm, sample_rate: int) -> tuple[float, float, CodecModel]:
    """Networks of a configuration, random weights, over [T] in one pass: times real time each way."""
    where = f"{config}: model"
    model = CodecModel(from_mapping(CodecConfig, read_yaml(config).get("model"), where)).eval()
    seconds = len(audio) / sample_rate
    samples = resample(audio, sample_rate, model.config.sample_rate)
    whole = torch.from_numpy(samples[: len(samples) // model.config.hop * model.config.hop].copy())[None]
    z = model.encoder(whole)
    return seconds / fastest(lambda: model.encoder(whole)), seconds / fastest(lambda: model.decoder(z)), model


def main(
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = "speech_16k",
    clips: Annotated[Path, typer.Option(help="Folder of speech clips.")] = ROOT / "tests" / "data" / "clips",
    seconds: Annotated[float, typer.Option(min=1.0, help="Length of the speech.")] = 60.0,
    bitrate: Annotated[float, typer.Option(help="kbit/s.")] = 6.0,
    layout: Annotated[Path, typer.Option(help="Configuration to compare with.")] = ROOT
    / "recipes"
    / "encodec_24k"
    / "config.yaml",
) -> None:
    """Time whole files, live steps, and another layout beside them, on one thread."""
    torch.set_num_threads(1)
    try:
        codec = Codec.load(model)
        audio = speech(clips, seconds, codec.sample_rate)
        live_steps(codec, audio[: codec.sample_rate], bitrate)
        encode, decode = file_speeds(codec, audio, bitrate)
        steps = live_steps(codec, audio, bitrate)
        other_encode, other_decode, other = whole_pass_speeds(layout, audio, codec.sample_rate)
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    name = codec.model.config.name
    typer.echo(f"{name}, {seconds:g} s of speech at {bitrate:g} kbit/s, 1 thread")
    typer.echo(f"files   encode {encode:6.1f} x real time   decode {decode:6.1f} x real time")
    for label, times in zip(("encode", "decode"), steps, strict=True):
        middle, high = np.percentile(times, [50, 99])
        typer.echo(f"live    {label} a {STEP_MS} ms step: p50 {middle:.2f} ms   p99 {high:.2f} ms")
    typer.echo(f"{other.config.name} (random weights, one pass over the whole, networks only)")
    typer.echo(f"        encode {other_encode:6.1f} x real time   decode {other_decode:6.1f} x real time")
    ratios = encode / other_encode, decode / other_decode
    typer.echo(f"{name} is {ratios[0]:.1f} times as fast to encode, {ratios[1]:.1f} times to decode")


if __name__ == "__main__":
    typer.run(main)
