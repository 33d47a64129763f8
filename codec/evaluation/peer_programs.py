"""Other codecs, run as the programs that people use, without a shell.

Each entry of :data:`PROGRAMS` says how a program is called, at which rate in Hz it works, how late its sound
comes and which bytes of its file are payload. The delays were measured once, against the original, since
correlating each clip would fail for codecs that keep no waveform. Lyra's was not: it is taken to be none.
"""

from __future__ import annotations

import os
import resource
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.errors import CodecError
from codec.evaluation.ogg import packet_sizes
from codec.evaluation.peer import Coded, Peer

_SECONDS = 120.0
_AMR_WB_MAGIC = b"#!AMR-WB\n"
# Bits of the frames by their type (RFC 4867, 3GPP TS 26.201); those of the types not named have none.
_AMR_WB_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40)
Command = Callable[[str, str, float], list[str]]
"""``command(source, target, kbps)`` gives the words of a command line."""


@dataclass(frozen=True, kw_only=True)
class ProgramPeer(Peer):
    """A codec that is two programs, or one.

    All files of a round trip have the name of the source before their suffix, which some programs rely on.

    Attributes:
        programs: that must be installed.
        encode: the command line from WAV (raw 16-bit PCM with ``raw``) to a coded file.
        decode: the command line back.
        payload: bytes of a coded file without its container.
        suffix: of coded files.
        raw: whether its programs take and give samples without a header.
        lacking: says in a few words what else is not there, or None.
    """

    programs: tuple[str, ...]
    encode: Command
    decode: Command
    payload: Callable[[Path], int]
    suffix: str
    raw: bool = False
    lacking: Callable[[], str | None] = lambda: None

    def missing(self) -> str | None:
        """See `Peer`."""
        for program in self.programs:
            if shutil.which(program) is None:
                return f"the program {program} is not installed"
        return self.lacking()

    def code(self, samples: NDArray[np.float32], kbps: float, folder: Path) -> Coded:
        """See `Peer`; the processor times include the start of the programs."""
        kind = "raw" if self.raw else "wav"
        source, target = folder / f"sound.{kind}", folder / f"sound_decoded.{kind}"
        coded = folder / f"sound{self.suffix}"
        soundfile.write(source, samples, self.sample_rate, "PCM_16", format=kind)
        times = [_children_seconds()]
        for command, ends in ((self.encode, (source, coded)), (self.decode, (coded, target))):
            run_program(command(str(ends[0]), str(ends[1]), kbps))
            times.append(_children_seconds())
        decoded, rate = self._read(target)
        size, payload = coded.stat().st_size, self.payload(coded)
        return Coded(decoded, rate, size, payload, times[1] - times[0], times[2] - times[1])

    def _read(self, path: Path) -> tuple[NDArray[np.float32], int]:
        if not self.raw:
            samples, rate = soundfile.read(path, dtype="float32")
            return samples, rate
        layout = {"channels": 1, "samplerate": self.sample_rate, "format": "RAW", "subtype": "PCM_16"}
        samples, rate = soundfile.read(path, dtype="float32", **layout)
        return samples, rate


def run_program(command: list[str]) -> bytes:
    """Run one command line, without a shell and without input, and return what it prints.

    Raises:
        CodecError: it is not there, fails, or does not end; the sentence has its last line.
    """
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CodecError(f"{command[0]} failed with exit code {error.returncode} ({lines[-1]})") from error
    except subprocess.TimeoutExpired as error:
        raise CodecError(f"{command[0]} did not end within {_SECONDS:g} s") from error
    except OSError as error:
        raise CodecError(f"{command[0]} cannot be run ({error.strerror})") from error
    return run.stdout


def _children_seconds() -> float:
    """Processor time of all programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
    sizes = [int(line.strip(b",")) for line in run_program(command).split()]
    if not sizes:
        raise CodecError(f"ffprobe finds no packets in {path.name}")
    return sum(sizes)


def _amr_wb_payload(path: Path) -> int:
    """The bits of the frames, without the byte before each and what fills up its last (RFC 4867, 5.3)."""
    data, position, bits = path.read_bytes(), len(_AMR_WB_MAGIC), 0
    while position < len(data):
        kind = data[position] >> 3 & 15
        size = _AMR_WB_BITS[kind] if kind < len(_AMR_WB_BITS) else 0
        bits, position = bits + size, position + 1 + -(-size // 8)
    return -(-bits // 8)


def _bits(kbps: float) -> str:
    return str(round(1000 * kbps))


def _whole_file(path: Path) -> int:
    return path.stat().st_size


def _ffmpeg(
    name: str,
    encoder: str,
    suffix: str,
    latency_ms: float,
    rates: str,
    *,
    delay: int = 0,
    decoder: str | None = None,
    payload: Callable[[Path], int] = _probed_payload,
) -> ProgramPeer:
    """One of ffmpeg's codecs; without ``decoder`` ffmpeg chooses it."""
    quiet = ["ffmpeg", "-v", "error", "-y"]
    chosen = [] if decoder is None else ["-c:a", decoder]
    lacking = f"this ffmpeg was built without {encoder}"
    return ProgramPeer(
        name=name,
        programs=("ffmpeg", "ffprobe"),
        encode=lambda source, target, kbps: [
            *quiet,
            "-i",
            source,
            "-c:a",
            encoder,
            "-b:a",
            _bits(kbps),
            target,
        ],
        decode=lambda source, target, kbps: [*quiet, *chosen, "-i", source, "-c:a", "pcm_s16le", target],
        payload=payload,
        suffix=suffix,
        latency_ms=latency_ms,
        rates=tuple(map(float, rates.split())),
        delay=delay,
        lacking=lambda: None if encoder in _ffmpeg_encoders() else lacking,
    )


def _codec2_mode(kbps: float) -> str:
    return "700C" if kbps == 0.7 else _bits(kbps)


def _lyra(part: str) -> Path | None:
    """A program of Lyra, or its folder of models: in $LYRA_HOME, or beside the encoder on PATH."""
    home, found = os.environ.get("LYRA_HOME"), shutil.which("encoder_main")
    folder = Path(home) if home else Path(found).parent if found else None
    path = folder / part if folder else None
    return path if path and path.exists() else None


def _lyra_lacking() -> str | None:
    parts = ("encoder_main", "decoder_main", "model_coeffs")
    absent = [part for part in parts if _lyra(part) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} of Lyra v2 not found: set LYRA_HOME to the folder with {', '.join(parts)}"


def _lyra_command(program: str, source: str, target: str, kbps: float) -> list[str]:
    flag = "input_path" if program == "encoder_main" else "encoded_path"
    return [
        str(_lyra(program)),
        f"--{flag}={source}",
        f"--output_dir={Path(target).parent}",
        f"--bitrate={_bits(kbps)}",
        f"--model_path={_lyra('model_coeffs')}",
    ]


PROGRAMS = (
    ProgramPeer(
        name="opus",
        programs=("opusenc", "opusdec"),
        encode=lambda source, target, kbps: [
            "opusenc",
            "--quiet",
            "--speech",
            f"--bitrate={kbps:g}",
            source,
            target,
        ],
        decode=lambda source, target, kbps: ["opusdec", "--quiet", "--rate", "16000", source, target],
        payload=_opus_payload,
        suffix=".opus",
        latency_ms=26.5,
        lowest=6.0,
    ),
    ProgramPeer(
        name="codec2",
        programs=("c2enc", "c2dec"),
        encode=lambda source, target, kbps: ["c2enc", _codec2_mode(kbps), source, target],
        decode=lambda source, target, kbps: ["c2dec", _codec2_mode(kbps), source, target],
        payload=_codec2_payload,
        suffix=".c2",
        latency_ms=40.0,
        rates=(0.7, 1.2, 1.3, 1.4, 1.6, 2.4, 3.2),
        sample_rate=8_000,
        delay=160,
        raw=True,
    ),
    _ffmpeg(
        "amr-wb",
        "libvo_amrwbenc",
        ".amr",
        25.0,
        "6.6 8.85 12.65 15.85 19.85 23.85",
        delay=95,
        payload=_amr_wb_payload,
    ),
    # ffmpeg's own decoder of Speex comes back further from the original, and that of ffmpeg 7.0 as noise.
    _ffmpeg(
        "speex", "libspeex", ".spx", 34.0, "5.8 7.8 9.8 12.8 16.8 20.6 23.8", delay=223, decoder="libspeex"
    ),
    ProgramPeer(
        name="lc3",
        programs=("elc3", "dlc3"),
        encode=lambda source, target, kbps: ["elc3", "-b", _bits(kbps), source, target],
        decode=lambda source, target, kbps: ["dlc3", source, target],
        payload=_lc3_payload,
        suffix=".lc3",
        latency_ms=12.5,
        rates=(16.0, 24.0, 32.0),
    ),
    _ffmpeg("mp3", "libmp3lame", ".mp3", 144.0, "8 16 24 32"),
    _ffmpeg("aac", "aac", ".m4a", 128.0, "8 16 24 32"),
    _ffmpeg("vorbis", "libvorbis", ".ogg", 128.0, "16 24 32"),
    ProgramPeer(
        name="lyra",
        programs=(),
        encode=partial(_lyra_command, "encoder_main"),
        decode=partial(_lyra_command, "decoder_main"),
        payload=_whole_file,
        suffix=".lyra",
        latency_ms=20.0,
        rates=(3.2, 6.0, 9.2),
        hop=320,
        lacking=_lyra_lacking,
    ),
)
"""All that are programs."""
