"""Compare the rate modes: quality at equal real bitrates, how close average rates come, and speed."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from codec import DEFAULT_MODEL
from codec.atomic import AtomicFile
from codec.errors import CodecError
from codec.extras import require

if TYPE_CHECKING:
    from codec.evaluation.evaluate import Clip
    from codec.model import CodecModel
    from codec.streaming import StreamEncoder, TwoPassEncoder

NAMES = {"cbr": "cbr", "abr": "abr", "two": "abr, two passes", "vbr": "vbr"}
# Targets are promised for sounds from here on.
_JOINED_SECONDS = 10.0


class Point(NamedTuple):
    """All clips at one setting; rates are kbit/s of whole files and of raw indices; ``mode`` is in NAMES."""

    mode: str
    setting: float
    file_kbps: float
    raw_kbps: float
    quality: float
    encode_speed: float


def make_encoder(model: CodecModel, clip: Clip, mode: str, setting: float) -> StreamEncoder | TwoPassEncoder:
    """The encoder of a clip."""
    from codec.streaming import StreamEncoder, TwoPassEncoder

    channels = clip.audio.shape[1] if clip.audio.ndim == 2 else 1
    if mode == "two":
        return TwoPassEncoder(model, clip.sample_rate, channels, setting)
    if mode == "abr":
        return StreamEncoder(model, clip.sample_rate, channels, setting, mode="abr")
    if mode == "vbr":
        return StreamEncoder(model, clip.sample_rate, channels, mode="vbr", quality=setting)
    return StreamEncoder(model, clip.sample_rate, channels, num_codebooks=int(setting))


def pieces(clip: Clip) -> Iterator[NDArray[np.float32]]:
    """The audio of a clip in pieces as codec encode takes them from a file."""
    from codec.cli.encoding import BLOCK_SECONDS

    step = int(BLOCK_SECONDS * clip.sample_rate)
    for start in range(0, len(clip.audio), step):
        yield clip.audio[start : start + step]


def encode(model: CodecModel, clip: Clip, mode: str, setting: float) -> tuple[bytes, int, float]:
    """The bytes of a clip, what its codes take raw in bits, and the processor time that encoding took."""
    start = time.process_time()
    encoder = make_encoder(model, clip, mode, setting)
    parts = [part for piece in pieces(clip) for part in encoder.push(piece)]
    parts += encoder.flush()
    return b"".join(parts), encoder.raw_index_bits, time.process_time() - start


def measure(model: CodecModel, clips: Sequence[Clip], mode: str, setting: float) -> Point:
    """Encode, decode and score all clips at one setting."""
    from codec.api import Codec
    from codec.evaluation.evaluate import score
    from codec.evaluation.statistics import defined

    codec = Codec(model)
    seconds = sum(clip.seconds for clip in clips)
    num_bytes, raw, elapsed, scores = 0, 0, 0.0, []
    for clip in clips:
        data, raw_bits, spent = encode(model, clip, mode, setting)
        scores.append(score("pesq_wb", clip.audio, codec.decode(data)[0], clip.sample_rate))
        num_bytes, raw, elapsed = num_bytes + len(data), raw + raw_bits, elapsed + spent
    values = defined(scores, f"PESQ-WB at {NAMES[mode]} {setting:g}")
    quality = float(np.mean(values)) if values else float("nan")
    return Point(mode, setting, 8e-3 * num_bytes / seconds, 1e-3 * raw / seconds, quality, seconds / elapsed)


def at_rate(points: Sequence[Point], kbps: float) -> float:
    """The quality that a curve has at a rate, straight between its points; not a number beyond them."""
    ordered = sorted(points, key=lambda point: point.file_kbps)
    rates = [point.file_kbps for point in ordered]
    qualities = [point.quality for point in ordered]
    return float(np.interp(kbps, rates, qualities, left=np.nan, right=np.nan))


def rate_for(points: Sequence[Point], quality: float) -> float:
    """The rate at which a curve reaches a quality; not a number where it does not."""
    ordered = sorted(points, key=lambda point: point.quality)
    qualities = [point.quality for point in ordered]
    rates = [point.file_kbps for point in ordered]
    return float(np.interp(quality, qualities, rates, left=np.nan, right=np.nan))


def curve_table(points: Sequence[Point]) -> str:
    """All points as Markdown."""
    lines = [
        "| mode | setting | file kbit/s | raw indices kbit/s | PESQ-WB | encode |",
        "|---|---|---|---|---|---|",
    ]
    for point in points:
        lines.append(
            f"| {NAMES[point.mode]} | {point.setting:g} | {point.file_kbps:.2f} | {point.raw_kbps:.2f} | "
            f"{point.quality:.3f} | {point.encode_speed:.0f} x |"
        )
    return "\n".join(lines) + "\n"


def gain_table(points: Sequence[Point], rates: Sequence[float]) -> str:
    """What each mode gains on cbr at equal real bitrates, as Markdown: abr where its files came out."""
    curves = {mode: [point for point in points if point.mode == mode] for mode in NAMES}
    lines = [
        "| file kbit/s | mode | PESQ-WB | cbr at that rate | gain | bits for the quality of cbr |",
        "|---|---|---|---|---|---|",
    ]
    for rate in rates:
        compared = [
            (point.mode, point.file_kbps, point.quality)
            for mode in ("abr", "two")
            for point in curves[mode]
            if point.setting == rate
        ]
        for mode, kbps, quality in [*compared, ("vbr", rate, at_rate(curves["vbr"], rate))]:
            base = at_rate(curves["cbr"], kbps)
            if not np.isfinite(quality - base):
                continue
            share = rate_for(curves[mode], base) / kbps - 1
            saved = f"{100 * share:+.0f} %" if np.isfinite(share) else "-"
            cells = [f"{kbps:.2f}", NAMES[mode], f"{quality:.3f}", f"{base:.3f}", f"{quality - base:+.3f}"]
            lines.append(f"| {' | '.join([*cells, saved])} |")
    return "\n".join(lines) + "\n"


def joined(clips: Sequence[Clip]) -> list[Clip]:
    """Clips one after the other until each is long enough, and all in one."""
    from codec.evaluation.evaluate import Clip

    result: list[Clip] = []
    waiting: list[NDArray[np.float32]] = []
    rate = clips[0].sample_rate
    for clip in clips:
        waiting.append(clip.audio)
        if sum(map(len, waiting)) > _JOINED_SECONDS * rate:
            result.append(Clip(f"{len(result)}", np.concatenate(waiting), rate))
            waiting = []
    return [*result, Clip("all", np.concatenate([clip.audio for clip in clips]), rate)]


def accuracy_table(model: CodecModel, clips: Sequence[Clip], rates: Sequence[float]) -> str:
    """How far files are from their target, over sounds of over ten seconds, as Markdown."""
    sounds = joined(clips)
    lines = [
        f"| target kbit/s | mode | mean error % | worst % ({len(sounds)} sounds) |",
        "|---|---|---|---|",
    ]
    for rate in rates:
        for mode in ("abr", "two"):
            sizes = [8e-3 * len(encode(model, clip, mode, rate)[0]) / clip.seconds for clip in sounds]
            errors = 100 * (np.array(sizes) / rate - 1)
            worst = errors[np.abs(errors).argmax()]
            lines.append(f"| {rate:g} | {NAMES[mode]} | {errors.mean():+.2f} | {worst:+.2f} |")
    return "\n".join(lines) + "\n"


def draw(points: Sequence[Point]) -> bytes:
    """The curves as a PNG."""
    require("matplotlib", extra="eval").use("agg")
    pyplot = require("matplotlib.pyplot", extra="eval")
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for mode, name in NAMES.items():
        curve = sorted((point for point in points if point.mode == mode), key=lambda point: point.file_kbps)
        axes.plot([point.file_kbps for point in curve], [point.quality for point in curve], ".-", label=name)
    axes.set(xlabel="kbit/s of whole files", ylabel="PESQ-WB", xscale="log")
    axes.set_xticks([1, 1.5, 2, 3, 4, 6, 8, 10], labels=["1", "1.5", "2", "3", "4", "6", "8", "10"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, dpi=110, format="png")
    pyplot.close(figure)
    return image.getvalue()


def numbers(text: str) -> list[float]:
    """Comma-separated numbers."""
    return [float(part) for part in text.split(",") if part.strip()]


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of mono clips of one sample rate.")],
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    codebooks: Annotated[str, typer.Option(help="Of cbr.")] = "2,3,4,5,6,7,8,10,12,14,16,18,20",
    bitrates: Annotated[str, typer.Option(help="Of abr and the comparison, kbit/s.")] = "1.5,3,6,9",
    qualities: Annotated[str, typer.Option(help="Of vbr.")] = "1,2,3,4,5,6,7,8,9,10",
    targets: Annotated[str, typer.Option(help="Of abr, to see how close it comes.")] = "1,1.5,2,3,6,8",
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this PNG.")] = None,
) -> None:
    """Compare the rate modes on a folder of clips."""
    import torch

    from codec.checkpoint import load_model
    from codec.evaluation.evaluate import load_clips

    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            picture = stack.enter_context(AtomicFile(plot, force=True)) if plot else None
            clips, loaded = load_clips(folder), load_model(model)
            rates = numbers(bitrates)
            settings = [("cbr", value) for value in numbers(codebooks)]
            settings += [(mode, value) for mode in ("abr", "two") for value in rates]
            settings += [("vbr", value) for value in numbers(qualities)]
            points = [measure(loaded, clips, mode, value) for mode, value in settings]
            print(curve_table(points), gain_table(points, rates), sep="\n")
            print(accuracy_table(loaded, clips, numbers(targets)))
            if picture:
                picture.write(draw(points))
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
