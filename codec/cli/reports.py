"""What a verb tells of a file that it coded: fields for JSON, a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from codec.cli.console import Console, count
from codec.cli.times import show_time

if TYPE_CHECKING:
    from codec.bitstream import StreamHeader


@dataclass(frozen=True)
class Report:
    """One coded file.

    Attributes:
        input: where it came from.
        output: where it went.
        header: of the bitstream.
        samples: of each channel.
        file_bytes: size of the bitstream.
        payload_bits: its codes; None where only a part of it was read.
        container_bits: its header, footer and block overhead; likewise.
        elapsed: seconds of work, without the loading of the model.
        ended_by: the signal that ended a live input, or None.
        warnings: sentences.
    """

    input: str
    output: str
    header: StreamHeader
    samples: int
    file_bytes: int
    payload_bits: int | None
    container_bits: int | None
    elapsed: float
    ended_by: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Duration of the sound."""
        return self.samples / self.header.sample_rate

    @property
    def kbps(self) -> float | None:
        """Real bitrate, size of the file over duration, in kbit/s; None for no sound, or a part of it."""
        return None if self.payload_bits is None else self._rate(8 * self.file_bytes)

    @property
    def speed(self) -> float | None:
        """Times real time; of a live input at most 1."""
        return self.seconds / self.elapsed if self.elapsed else None

    def values(self) -> dict[str, Any]:
        """The fields for JSON; the warnings go with the whole command."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        del told["header"], told["warnings"]
        return {**told, **header_values(self.header, self.seconds), "kbps": self.kbps, "speed": self.speed}

    def sentence(self) -> str:
        """One line for people."""
        parts = [
            f"{self.input} -> {self.output}: {self.seconds:.2f} s",
            f"{count(self.header.channels, 'channel')} of {self.header.sample_rate} Hz",
            f"{self._codebooks()} of {self.header.model_name}",
            self._bitrate(),
        ]
        if self.speed is not None:
            parts.append(f"{self.speed:.1f} x real time")
        if self.ended_by is not None:
            parts.append(f"ended by {self.ended_by} and complete up to there")
        return ", ".join(parts)

    def _codebooks(self) -> str:
        number, mode = count(self.header.num_codebooks, "codebook"), self.header.mode
        return number if mode == "cbr" else f"{mode} of up to {number}"

    def _bitrate(self) -> str:
        if not self.seconds or self.payload_bits is None or self.container_bits is None:
            return count(self.file_bytes, "byte")
        payload, container = self._rate(self.payload_bits), self._rate(self.container_bits)
        return f"{self.kbps:.2f} kbit/s (payload {payload:.2f}, container {container:.2f})"

    def _rate(self, bits: int) -> float | None:
        return bits / self.seconds / 1000 if self.seconds else None


@dataclass(frozen=True)
class EncodeReport(Report):
    """One bitstream that was written.

    Attributes:
        raw_index_bits: what the codes would take without entropy coding.
        codebooks_per_frame: that were sent: mean, least and most.
    """

    raw_index_bits: int = 0
    codebooks_per_frame: tuple[float, int, int] = (0.0, 0, 0)

    def values(self) -> dict[str, Any]:
        """The fields for JSON; the warnings go with the whole command."""
        named = dict(zip(("mean", "min", "max"), self.codebooks_per_frame, strict=True))
        return {**super().values(), "codebooks_per_frame": named}

    def _codebooks(self) -> str:
        mean, least, most = self.codebooks_per_frame
        number = count(most, "codebook") if least == most else f"{mean:.1f} codebooks ({least} to {most})"
        return number if self.header.mode == "cbr" else f"{self.header.mode} of {number}"


@dataclass(frozen=True)
class DecodeReport(Report):
    """One decoded file.

    Attributes:
        clipped_samples: how many lie at full scale, where decoding cuts what is beyond.
        damage: concealed spans: see `codec.cli.damage.damage_values`.
        start_seconds: where in the stream the sound begins, None where it is all of it.
    """

    clipped_samples: int = 0
    damage: list[dict[str, Any]] = field(default_factory=list)
    start_seconds: float | None = None

    def sentence(self) -> str:
        """One line for people."""
        clipped = f", {count(self.clipped_samples, 'sample')} clipped" if self.clipped_samples else ""
        part = "" if self.start_seconds is None else f", from {show_time(self.start_seconds)} on"
        return super().sentence() + part + clipped


def header_values(header: StreamHeader, seconds: float) -> dict[str, Any]:
    """What JSON tells of every bitstream: its duration, and what its header says."""
    return {
        "seconds": seconds,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "model": header.model_name,
        "model_id": header.model_id.hex(),
        "mode": header.mode,
        "codebooks": header.num_codebooks,
    }


def tell(report: Report, console: Console) -> int:
    """Say how one file went; returns the exit code."""
    for warning in report.warnings:
        console.warn(warning)
    console.note(report.sentence())
    console.report(report.values())
    return 0
