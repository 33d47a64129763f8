"""Other codecs, run as the programs that people use, without a shell.

Each entry of :data:`PEERS` says how a program is called, at which rate in Hz it works, how late its sound
comes and which bytes of its file are payload. The delays were measured once, against the original, since
correlating each clip would fail for codecs that keep no waveform.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codec.errors import CodecError
from codec.evaluation.ogg import packet_sizes

_SECONDS = 120.0
Command = Callable[[str, str, float], list[str]]
"""``command(source, target, kbps)`` gives the words of a command line."""


@dataclass(frozen=True)
class Peer:
    """One codec.

    Attributes:
        name: how options and tables call it.
        programs: that must be installed.
        rates: kbit/s it can be asked for, None for any from ``lowest`` on.
        lowest: the lowest kbit/s it makes sense at.
        encode: the command line from WAV (raw 16-bit PCM with ``raw``) to a coded file.
        decode: the command line back.
        payload: bytes of a coded file without its container.
        suffix: of coded files.
        latency_ms: algorithmic latency, as its documents say.
        sample_rate: Hz it works at.
        delay: samples at that rate by which decoded sound comes late.
        raw: whether its programs take and give samples without a header.
        encoder: what ffmpeg must have been built with, where it is the program.
    """

    name: str
    programs: tuple[str, ...]
    encode: Command
    decode: Command
    payload: Callable[[Path], int]
    suffix: str
    latency_ms: float
    rates: tuple[float, ...] | None = None
    lowest: float = 0.0
    sample_rate: int = 16_000
    delay: int = 0
    raw: bool = False
    encoder: str | None = None

    def missing(self) -> str | None:
        """Say in a few words what is not installed; None where everything is."""
        for program in self.programs:
            if shutil.which(program) is None:
                return f"the program {program} is not installed"
        if self.encoder is not None and self.encoder not in _ffmpeg_encoders():
            return f"this ffmpeg was built without {self.encoder}"
        return None

    def rates_for(self, wanted: list[float]) -> list[float]:
        """The rates in kbit/s to measure beside those of a model: the same, or the nearest it has."""
        if self.rates is None:
            return [rate for rate in wanted if rate >= self.lowest]
        rates = self.rates
        return sorted({min(rates, key=lambda rate: abs(rate - each)) for each in wanted})


def run_program(command: list[str]) -> None:
    """Run one command line, without a shell and without input.

    Raises:
        CodecError: it is not there, fails, or does not end; the sentence has its last line.
    """
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CodecError(f"{command[0]} failed with exit code {error.returncode} ({lines[-1]})") from error
    except subprocess.TimeoutExpired as error:
        raise CodecError(f"{command[0]} did not end within {_SECONDS:g} s") from error
    except OSError as error:
        raise CodecError(f"{command[0]} cannot be run ({error.strerror})") from error


@cache
def _ffmpeg_encoders() -> frozenset[str]:
    command = ["ffmpeg", "-hide_banner", "-encoders"]
    listing = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    return frozenset(words[1] for line in listing.splitlines() if len(words := line.split()) > 1)


def _opus_payload(path: Path) -> int:
    """Two packets are headers (RFC 7845)."""
    return sum(packet_sizes(path.read_bytes())[2:])


def _codec2_payload(path: Path) -> int:
    return path.stat().st_size - 7


def _lc3_payload(path: Path) -> int:
    data = path.read_bytes()
    (position,) = struct.unpack_from("<H", data, 2)
    total = 0
    while position + 2 <= len(data):
        (size,) = struct.unpack_from("<H", data, position)
        total, position = total + size, position + 2 + size
    return total


def _probed_payload(path: Path) -> int:
    """Bytes of all packets, as ffmpeg's demuxer cuts them."""
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0", str(path)]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    return sum(int(line.strip(",")) for line in run.stdout.split())


def _bits(kbps: float) -> str:
    return str(round(1000 * kbps))


def _ffmpeg(name: str, encoder: str, suffix: str, latency_ms: float, rates: str, delay: int = 0) -> Peer:
    quiet = ["ffmpeg", "-v", "error", "-y", "-i"]
    return Peer(
        name,
        ("ffmpeg", "ffprobe"),
        lambda source, target, kbps: [*quiet, source, "-c:a", encoder, "-b:a", _bits(kbps), target],
        lambda source, target, kbps: [*quiet, source, "-c:a", "pcm_s16le", target],
        _probed_payload,
        suffix,
        latency_ms,
        rates=tuple(map(float, rates.split())),
        delay=delay,
        encoder=encoder,
    )


def _codec2_mode(kbps: float) -> str:
    return "700C" if kbps == 0.7 else _bits(kbps)


_ALL = (
    Peer(
        "opus",
        ("opusenc", "opusdec"),
        lambda source, target, kbps: [
            "opusenc",
            "--quiet",
            "--speech",
            f"--bitrate={kbps:g}",
            source,
            target,
        ],
        lambda source, target, kbps: ["opusdec", "--quiet", "--rate", "16000", source, target],
        _opus_payload,
        ".opus",
        latency_ms=26.5,
        lowest=6.0,
    ),
    Peer(
        "codec2",
        ("c2enc", "c2dec"),
        lambda source, target, kbps: ["c2enc", _codec2_mode(kbps), source, target],
        lambda source, target, kbps: ["c2dec", _codec2_mode(kbps), source, target],
        _codec2_payload,
        ".c2",
        latency_ms=40.0,
        rates=(0.7, 1.2, 1.3, 1.4, 1.6, 2.4, 3.2),
        sample_rate=8_000,
        delay=160,
        raw=True,
    ),
    _ffmpeg("amr-wb", "libvo_amrwbenc", ".amr", 25.0, "6.6 8.85 12.65 15.85 19.85 23.85"),
    _ffmpeg("speex", "libspeex", ".spx", 34.0, "5.8 7.8 9.8 12.8 16.8 20.6 23.8", delay=223),
    Peer(
        "lc3",
        ("elc3", "dlc3"),
        lambda source, target, kbps: ["elc3", "-b", _bits(kbps), source, target],
        lambda source, target, kbps: ["dlc3", source, target],
        _lc3_payload,
        ".lc3",
        latency_ms=12.5,
        rates=(16.0, 24.0, 32.0),
    ),
    _ffmpeg("mp3", "libmp3lame", ".mp3", 144.0, "8 16 24 32"),
    _ffmpeg("aac", "aac", ".m4a", 128.0, "8 16 24 32"),
    _ffmpeg("vorbis", "libvorbis", ".ogg", 128.0, "16 24 32"),
)
PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}
"""All that can be measured, by name."""

NOT_MEASURED = ("encodec", "dac", "lyra")
"""Neural peers whose weights no package carries: a table without them says so."""
