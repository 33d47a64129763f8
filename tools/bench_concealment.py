"""Measure what lost packets cost: with silence in their place, and concealed in both ways.

    python tools/bench_concealment.py CLIPS [--losses 0.1,0.1:3] [--seeds 5] [--bitrate 6] [--packet-ms 20]

Every clip is encoded once and decoded with the losses of each seed. "zeros" has digital silence in place of
the frames that were lost, and is otherwise the undamaged decoding. "bridged" conceals a gap when the next
packet is at hand, "at once" without knowing it. The first packet always arrives.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from codec import DEFAULT_MODEL
from codec.atomic import AtomicFile
from codec.errors import CodecError
from codec.loss import PatternLoss, parse_loss
from codec.pcm import Samples

if TYPE_CHECKING:
    from codec.evaluation.evaluate import Clip
    from codec.evaluation.scores import Score
    from codec.model import CodecModel

WAYS = ("zeros", "at once", "bridged")


class Packets:
    """One mono clip as packets of a constant bitrate, and the ways to decode it with losses.

    Attributes:
        clean: what it decodes to without loss ``[T]``.
        count: of its packets.
    """

    def __init__(self, model: CodecModel, clip: Clip, bitrate: float, packet_ms: float) -> None:
        from codec.streaming import StreamEncoder

        encoder = StreamEncoder(model, clip.sample_rate, 1, bitrate, packet_ms, "packets")
        parts = encoder.push(clip.audio) + encoder.flush()
        self._model = model
        self._header = encoder.header
        self._data = [part for part in parts[1:-1] if part != parts[0]]
        self._ends = parts[0], parts[-1]
        self._length = len(clip.audio)
        self.count = len(self._data)
        self.clean = self.decode([False] * self.count, at_once=False)

    def zeros(self, lost: Sequence[bool]) -> Samples:
        """The undamaged audio with silence in place of lost packets."""
        header, audio = self._header, self.clean.copy()
        seconds = header.block_frames * header.hop / header.coded_rate
        delay = self._model.delay / header.coded_rate
        for number in np.flatnonzero(lost):
            start, end = (round((at * seconds - delay) * header.sample_rate) for at in (number, number + 1))
            audio[max(start, 0) : max(end, 0)] = 0
        return audio

    def decode(self, lost: Sequence[bool], at_once: bool) -> Samples:
        """The concealed audio; ``at_once`` tells the decoder of each loss before the next packet comes."""
        from codec.streaming import StreamDecoder

        decoder = StreamDecoder(self._model, "packets")
        parts = [decoder.push(self._ends[0])]
        for packet, gone in zip(self._data, lost, strict=True):
            if not gone:
                parts.append(decoder.push(packet))
            elif at_once:
                parts.append(decoder.lost(self._header.block_frames))
        parts += [decoder.push(self._ends[1]), decoder.flush()]
        audio = np.concatenate([part[:, 0] for part in parts])[: self._length]
        return np.pad(audio, (0, self._length - len(audio)))


def losses(text: str, seed: int, clip: int, count: int) -> list[bool]:
    """Which of a clip's packets are lost; other ones for every seed and clip."""
    drawn = parse_loss(text, seed * 1000 + clip)
    # A pattern from a file is the same for all; it begins at another place for each.
    if isinstance(drawn, PatternLoss):
        drawn = itertools.islice(drawn, seed * 1000 + clip, None)
    return [False, *itertools.islice(drawn, count - 1)]


def measure(
    clips: Sequence[Clip], packets: Sequence[Packets], text: str, seeds: int
) -> Iterator[tuple[str, int, float]]:
    """Tells the way, the seed and the mean PESQ-WB over the clips that have one."""
    from codec.evaluation.evaluate import score
    from codec.evaluation.statistics import defined

    for seed in range(1, seeds + 1):
        scores: dict[str, list[Score]] = {way: [] for way in WAYS}
        for number, (clip, packed) in enumerate(zip(clips, packets, strict=True)):
            lost = losses(text, seed, number, packed.count)
            heard = (
                packed.zeros(lost),
                packed.decode(lost, at_once=True),
                packed.decode(lost, at_once=False),
            )
            for way, audio in zip(WAYS, heard, strict=True):
                scores[way].append(score("pesq_wb", clip.audio, audio, clip.sample_rate))
        for way, found in scores.items():
            yield way, seed, float(np.mean(defined(found, f"PESQ-WB at {text}, {way}")))


def table(clean: float, measured: dict[str, dict[str, list[float]]]) -> str:
    """A Markdown table: the mean over seeds, their standard deviation, and the fall as a share of zeros'."""
    lines = [
        "| loss | decoded with | PESQ-WB | fall | share of the fall with zeros |",
        "|---|---|---|---|---|",
    ]
    lines.append(f"| none | | {clean:.3f} | | |")
    for text, ways in measured.items():
        worst = clean - float(np.mean(ways["zeros"]))
        for way, values in ways.items():
            fall = clean - float(np.mean(values))
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            lines.append(f"| {text} | {way} | {clean - fall:.3f}{spread} | {fall:.3f} | {fall / worst:.1%} |")
    return "\n".join(lines) + "\n"


def run(folder: Path, model: str, texts: Sequence[str], seeds: int, bitrate: float, packet_ms: float) -> str:
    """Measure all losses on all clips and return the table. Raises CodecError for what cannot be read."""
    from codec.api import Codec
    from codec.evaluation.evaluate import load_clips, score
    from codec.evaluation.statistics import defined

    clips = load_clips(folder)
    if any(clip.audio.ndim > 1 for clip in clips):
        raise CodecError(f"{folder} holds clips of several channels: give mono ones")
    codec = Codec.load(model)
    packets = [Packets(codec.model, clip, bitrate, packet_ms) for clip in clips]
    undamaged = [
        score("pesq_wb", clip.audio, packed.clean, clip.sample_rate)
        for clip, packed in zip(clips, packets, strict=True)
    ]
    clean = float(np.mean(defined(undamaged, "PESQ-WB without loss")))
    measured: dict[str, dict[str, list[float]]] = {}
    for text in texts:
        ways: dict[str, list[float]] = {way: [] for way in WAYS}
        for way, _, value in measure(clips, packets, text, seeds):
            ways[way].append(value)
        measured[text] = ways
    about = (
        f"{model} {codec.id.hex()}, {len(clips)} clips, {seeds} seeds, {bitrate:g} kbit/s, {packet_ms:g} ms"
    )
    return f"{about}\n\n{table(clean, measured)}"


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of mono clips.")],
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    losses: Annotated[str, typer.Option(help="Shares, shares with burst lengths, or pattern files.")] = "0.1",
    seeds: Annotated[int, typer.Option(min=1, help="So many losses of each kind.")] = 5,
    bitrate: Annotated[float, typer.Option(help="kbit/s.")] = 6.0,
    packet_ms: Annotated[float, typer.Option(help="Length of a packet.")] = 20.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the codec.")] = 1,
    markdown: Annotated[Path | None, typer.Option(help="Write the table there.")] = None,
) -> None:
    """Measure what lost packets cost, with silence in their place and concealed."""
    import torch

    torch.set_num_threads(threads)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(AtomicFile(markdown, force=True)) if markdown else None
            texts = [text.strip() for text in losses.split(",") if text.strip()]
            document = run(folder, model, texts, seeds, bitrate, packet_ms)
            typer.echo(document)
            if file:
                file.write(document.encode())
    except CodecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
