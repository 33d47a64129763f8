"""Round trips of clips through a codec: sizes, speed and quality of each, and their means.

The codec is used as anyone would use it, ``encode`` to the bytes of a file and ``decode`` back; no figure is
taken from inside the model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.bitstream.container import ContainerReader
from codec.errors import CodecError, UsageError
from codec.evaluation.scores import Score
from codec.evaluation.scoring import score
from codec.evaluation.statistics import Summary, summarize

if TYPE_CHECKING:
    from codec.streaming import Mode

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".mp3")


class CodecLike(Protocol):
    """What is measured: the two calls of ``codec.Codec`` that make and read a file."""

    def encode(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        bitrate: float | None = None,
        num_codebooks: int | None = None,
    ) -> bytes:
        """Encode audio [T] or [T, C] to the bytes of a file."""
        ...

    def decode(self, data: bytes) -> tuple[NDArray[np.float32], int]:
        """Decode the bytes of a file to audio [T] or [T, C] and its sample rate in Hz."""
        ...


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording to measure with: a printable ``name``, ``audio`` float32 [T] or [T, C], its rate in Hz."""

    name: str
    audio: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.audio) / self.sample_rate


@dataclass(frozen=True)
class Setting:
    """One operating point: a total bitrate in kbit/s, a number of codebooks, or a quality with mode ``vbr``.

    ``mode`` is one of ``codec.streaming.Mode``; ``peer`` names another codec, and is empty for the model.
    """

    bitrate: float | None = None
    num_codebooks: int | None = None
    mode: Mode = "cbr"
    quality: float | None = None
    peer: str = ""

    @property
    def label(self) -> str:
        """How tables name it, as in ``3 kbit/s``, ``6 codebooks``, ``vbr quality 5`` or ``opus 6 kbit/s``."""
        if self.num_codebooks is not None:
            return f"{self.num_codebooks} codebook{'s' if self.num_codebooks != 1 else ''}"
        what = f"quality {self.quality:g}" if self.quality is not None else f"{self.bitrate:g} kbit/s"
        return f"{self.family} {what}".strip()

    @property
    def family(self) -> str:
        """What settings of one curve share: the peer, or the model's mode; empty for constant rates."""
        return self.peer or (self.mode if self.mode != "cbr" else "")


@dataclass(frozen=True)
class RoundTrip:
    """One clip encoded and decoded at one setting.

    ``decoded`` has the clip's shape. ``file_bytes`` is the whole file and ``payload_bytes`` the packed codes
    in it; ``encode_seconds`` and ``decode_seconds`` are processor time, which other programs disturb
    less than wall-clock time; ``scores`` has one entry for each metric measured.
    """

    clip: Clip
    setting: Setting
    decoded: NDArray[np.float32]
    file_bytes: int
    payload_bytes: int
    encode_seconds: float
    decode_seconds: float
    scores: dict[str, Score]


@dataclass(frozen=True)
class Aggregate:
    """All clips at one setting: bits and time over the total duration, and a summary of each metric."""

    setting: Setting
    clips: int
    seconds: float
    payload_kbps: float
    file_kbps: float
    encode_speed: float
    decode_speed: float
    scores: dict[str, Summary]


def display_name(path: Path) -> str:
    """Name a clip after its file, with whatever a terminal or a page cannot show replaced."""
    name = os.fsencode(path.stem).decode("utf-8", errors="replace")
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name
    )


def load_clips(folder: Path) -> list[Clip]:
    """Read the audio files directly inside a folder, in order of name.

    Raises ``UsageError`` where there is no such folder and ``CodecError`` for an unreadable file, one without
    a sample, or none at all.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name one that holds audio clips")
    clips = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        try:
            audio, sample_rate = soundfile.read(path, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise CodecError(
                f"{path} is not readable as audio ({error.error_string}): remove or replace it"
            ) from error
        if len(audio) == 0:
            raise CodecError(f"{path} holds no sound: remove or replace it")
        clips.append(Clip(display_name(path), audio, int(sample_rate)))
    if not clips:
        raise CodecError(f"{folder} holds no audio clips: put {', '.join(AUDIO_SUFFIXES)} files there")
    return clips


def round_trip(
    codec: CodecLike, clip: Clip, setting: Setting, metrics: Sequence[str], file: Path | None = None
) -> RoundTrip:
    """Encode a clip, decode it and score what comes back.

    With ``file`` the encoded bytes are written there and read back, so that what is decoded is a real file;
    this takes no part in the times. Raises ``CodecError`` if the decoded audio differs in shape or rate from
    the clip.
    """
    start = time.process_time()
    data = codec.encode(clip.audio, clip.sample_rate, setting.bitrate, setting.num_codebooks)
    encode_seconds = time.process_time() - start
    if file is not None:
        file.write_bytes(data)
        data = file.read_bytes()
    start = time.process_time()
    decoded, sample_rate = codec.decode(data)
    decode_seconds = time.process_time() - start
    if decoded.shape != clip.audio.shape or sample_rate != clip.sample_rate:
        raise CodecError(
            f"{clip.name} came back as {decoded.shape} at {sample_rate} Hz instead of {clip.audio.shape} at "
            f"{clip.sample_rate} Hz: the codec is broken"
        )
    scores = {name: score(name, clip.audio, decoded, sample_rate) for name in metrics}
    return RoundTrip(
        clip, setting, decoded, len(data), payload_bytes(data), encode_seconds, decode_seconds, scores
    )


def payload_bytes(data: bytes) -> int:
    """Count the bytes of packed codes in an encoded file, without header, block headers and footer."""
    reader = ContainerReader()
    reader.push(data)
    reader.finish()
    return reader.payload_bytes


def aggregate(trips: Sequence[RoundTrip]) -> list[Aggregate]:
    """Sum up round trips by setting, in the order in which the settings first occur."""
    by_setting: dict[Setting, list[RoundTrip]] = {}
    for trip in trips:
        by_setting.setdefault(trip.setting, []).append(trip)
    return [_aggregate_one(setting, group) for setting, group in by_setting.items()]


def _aggregate_one(setting: Setting, trips: Sequence[RoundTrip]) -> Aggregate:
    seconds = sum(trip.clip.seconds for trip in trips)
    return Aggregate(
        setting=setting,
        clips=len(trips),
        seconds=seconds,
        payload_kbps=8e-3 * sum(trip.payload_bytes for trip in trips) / seconds,
        file_kbps=8e-3 * sum(trip.file_bytes for trip in trips) / seconds,
        encode_speed=seconds / sum(trip.encode_seconds for trip in trips),
        decode_speed=seconds / sum(trip.decode_seconds for trip in trips),
        scores={name: summarize(trip.scores[name] for trip in trips) for name in trips[0].scores},
    )
