"""The golden vectors: streams of every version of the format, and what a decoder must find in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.bitstream import PayloadCoder, StreamHeader
from codec.bitstream.header import parse_header
from codec.checkpoint import load_model
from codec.model import CodecModel
from codec.streaming import Framing

ROOT = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Golden:
    """A vector; its fields are those of its entry in vectors.json, and the folder that this lies in."""

    folder: Path
    file: str
    model: str
    framing: Framing
    sample_rate: int
    channels: int
    num_samples: int
    num_frames: int
    tags: tuple[tuple[str, str], ...]
    entropy: bool
    codes_sha256: str
    reference: str | None

    def parts(self) -> list[bytes]:
        """The whole container, or the packets of a live stream: each lies behind its size in two bytes."""
        data = (self.folder / self.file).read_bytes()
        if self.framing == "container":
            return [data]
        packets, at = [], 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2])
            packets.append(data[at + 2 : end])
            at = end
        return packets

    def sound(self) -> NDArray[np.int16]:
        """The sound of 16 bits [n, C] that the stream decodes to."""
        if self.reference is None:
            return np.zeros((0, self.channels), np.int16)
        pcm, rate = soundfile.read(self.folder / self.reference, dtype="int16", always_2d=True)
        assert rate == self.sample_rate
        return pcm

    def header(self) -> StreamHeader:
        """What its header says."""
        parsed = parse_header(self.parts()[0], self.file)
        assert parsed is not None
        return parsed[0]

    def coder(self) -> PayloadCoder:
        """What packs and unpacks its payloads, in the way that its encoder did."""
        header, tables = self.header(), self.load_model().entropy if self.entropy else None
        return PayloadCoder(
            header.num_codebooks, header.bits_per_code, header.block_frames, header.channels, tables
        )

    def model_folder(self) -> Path:
        """The checkpoint that decodes it."""
        return self.folder / "models" / self.model

    def load_model(self) -> CodecModel:
        """The model that decodes it."""
        return _load(self.model_folder())


@cache
def _load(folder: Path) -> CodecModel:
    return load_model(folder)


def all_vectors() -> list[Golden]:
    """The vectors of all versions."""
    vectors = []
    for listing in sorted(ROOT.glob("*/vectors.json")):
        for entry in json.loads(listing.read_text(encoding="utf-8"))["vectors"]:
            tags = tuple((key, value) for key, value in entry.pop("tags"))
            vectors.append(Golden(folder=listing.parent, tags=tags, **entry))
    return vectors


def vector(name: str) -> Golden:
    """The vector of that name, for example "residual_cbr", of the newest version that has it."""
    return [golden for golden in all_vectors() if golden.file.startswith(f"{name}.")][-1]
