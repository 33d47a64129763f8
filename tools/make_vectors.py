"""Make the golden vectors of a format version: streams of tiny models, the hash of their codes, their sound.

    python tools/make_vectors.py FOLDER

They are made once for each version of the format and decoded ever after, so that FOLDER must not exist yet.
It gets three models, streams, the sound that they decode to as FLAC of 16 bits, and vectors.json, which says
of each stream what a decoder must find in it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import torch
import typer

from codec.bitstream import (
    BlockRead,
    Codes,
    ContainerReader,
    ContainerWriter,
    EntropyCoder,
    PacketReader,
    PayloadCoder,
    StreamEnd,
)
from codec.bitstream.header import FORMAT_VERSION
from codec.checkpoint import load_model, save_model
from codec.config import (
    AdditiveConfig,
    BottleneckConfig,
    CodecConfig,
    ProductConfig,
    SeanetConfig,
    SpectralConfig,
)
from codec.engine import Engine
from codec.model import CodecModel
from codec.pcm import Samples
from codec.resample import Resampler
from codec.streaming import Framing, StreamDecoder, StreamEncoder
from codec.training import entropy

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "tests" / "data" / "clips"
CLIP_RATE = 16_000
SECONDS = 1.0
FIT_SECONDS = 3.0
LEVEL = 0.05
TAGS = (("title", "Golden vector"), ("artist", "One"), ("artist", "Zwei – größer"))

RATE, HOP = 8000, 160
SPECTRAL = SpectralConfig(width=16, blocks=1, kernel=3, expansion=2, overlap=HOP)
SEANET = SeanetConfig(filters=2, strides=(4, 5, 8), kernel=5, last_kernel=3, lstm_layers=1)
MODELS = (
    CodecConfig("golden_residual", RATE, HOP, 8, SPECTRAL, BottleneckConfig("residual", 4, 16)),
    CodecConfig("golden_additive", RATE, HOP, 8, SEANET, AdditiveConfig("additive", 3, 8)),
    CodecConfig("golden_product", RATE, HOP, 8, SPECTRAL, ProductConfig("product", 4, 32)),
)


@dataclass(frozen=True)
class Vector:
    """A stream to make: of which model and sound, and how it is encoded."""

    name: str
    model: str = "golden_residual"
    sample_rate: int = RATE
    channels: int = 1
    seconds: float = SECONDS
    pause: bool = False
    entropy: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def framing(self) -> Framing:
        """What carries the payloads."""
        return self.options.get("framing", "container")


VECTORS = (
    Vector("raw", entropy=False, options={"num_codebooks": 4, "packet_ms": 200}),
    Vector(
        "raw_varying",
        seconds=1.2,
        pause=True,
        entropy=False,
        options={"mode": "vbr", "quality": 5.0, "packet_ms": 300},
    ),
    Vector("residual_cbr", options={"bitrate": 0.6, "packet_ms": 500}),
    Vector("residual_abr", seconds=1.2, options={"bitrate": 0.6, "packet_ms": 600, "mode": "abr"}),
    Vector("residual_vbr", pause=True, options={"quality": 6.0, "packet_ms": 400, "mode": "vbr"}),
    Vector(
        "residual_two_channels",
        channels=2,
        seconds=0.8,
        pause=True,
        options={"mode": "vbr", "quality": 3.0, "packet_ms": 600, "tags": TAGS},
    ),
    Vector("residual_11025", sample_rate=11_025, options={"num_codebooks": 2, "packet_ms": 100}),
    Vector("residual_packets", options={"num_codebooks": 4, "packet_ms": 20, "framing": "packets"}),
    Vector(
        "residual_packets_vbr",
        pause=True,
        options={"quality": 6.0, "mode": "vbr", "packet_ms": 60, "framing": "packets"},
    ),
    Vector("residual_empty", seconds=0.0, options={"num_codebooks": 1}),
    Vector("additive_cbr", model="golden_additive", options={"num_codebooks": 3, "packet_ms": 500}),
    Vector(
        "additive_vbr",
        model="golden_additive",
        pause=True,
        options={"mode": "vbr", "quality": 5.0, "packet_ms": 500},
    ),
    Vector("product_cbr", model="golden_product", options={"num_codebooks": 4, "packet_ms": 20}),
    Vector("product_vbr", model="golden_product", pause=True, options={"quality": 4.0, "mode": "vbr"}),
)


def speech(sample_rate: int, channels: int, seconds: float, pause: bool) -> Samples:
    """Quiet speech ``[n, channels]``, another voice in each channel; its middle third silent where asked."""
    voices = []
    for path in sorted(CLIPS.glob("*.flac"))[:channels]:
        audio, _ = soundfile.read(path, frames=round(seconds * CLIP_RATE), dtype="float32")
        voices.append(audio * (LEVEL / max(float(np.sqrt(np.mean(audio**2))), 1e-9)) if len(audio) else audio)
    pcm = np.stack(voices, axis=1)
    if pause:
        pcm[len(pcm) // 3 : len(pcm) * 2 // 3] = 0.0
    resampler = Resampler(CLIP_RATE, sample_rate, channels)
    return np.concatenate([resampler.push(pcm), resampler.flush()])


def make_model(config: CodecConfig, folder: Path) -> None:
    """Write a checkpoint of weights drawn from a fixed seed, codebooks and tables fitted to the clips."""
    torch.manual_seed(0)
    model = CodecModel(config).requires_grad_(False).eval()
    pcm = speech(config.sample_rate, 4, FIT_SECONDS, pause=False)
    pcm = pcm[: len(pcm) // config.hop * config.hop]
    audio = torch.from_numpy(np.ascontiguousarray(pcm.T))
    with torch.no_grad():
        model.bottleneck.fit_kmeans(model.normalize(model.encoder(audio)))
    save_model(model, folder)
    model = load_model(folder)
    engine = Engine(model)
    codes = []
    for clip in audio:
        z, _ = engine.latents(clip, engine.start_encoder())
        for n in range(1, model.bottleneck.num_codebooks + 1):
            codes.append(engine.search(z, torch.full(z.shape[1:], n)).numpy())
    # Networks as small as their models.
    entropy.PAST_INNER, entropy.PAST_OUTER, entropy.HIDDEN = 16, 8, 8
    model.entropy = EntropyCoder(entropy.fit_tables(model.bottleneck, codes))
    save_model(model, folder)


def written_raw(parts: list[bytes], model: CodecModel) -> list[bytes]:
    """A container once more, with its codes as they are: what an encoder may do that knows no tables."""
    reader = ContainerReader()
    events = [event for part in parts for event in reader.push(part)] + reader.finish()
    header, end = reader.header, events[-1]
    assert header is not None
    assert isinstance(end, StreamEnd)
    assert end.num_samples is not None
    assert end.codes_hash is not None
    sizes = (header.num_codebooks, header.bits_per_code, header.block_frames, header.channels)
    coded, raw = PayloadCoder(*sizes, model.entropy), PayloadCoder(*sizes)
    writer = ContainerWriter(header)
    output = writer.start()
    for event in events:
        if isinstance(event, BlockRead):
            codes = coded.unpack(event.payload)
            output += writer.block(event.position, raw.pack(codes), codes.shape[2])
    return output + writer.finish(end.num_samples, end.codes_hash)


def codes_of(parts: list[bytes], model: CodecModel, framing: Framing) -> Codes:
    """All codes ``[C, M, F]`` of an undamaged stream."""
    reader = ContainerReader() if framing == "container" else PacketReader()
    events = [event for part in parts for event in reader.push(part)] + reader.finish()
    header = reader.header
    assert header is not None
    coder = PayloadCoder(
        header.num_codebooks, header.bits_per_code, header.block_frames, header.channels, model.entropy
    )
    none = np.zeros((header.channels, header.num_codebooks, 0), np.int64)
    blocks = [coder.unpack(event.payload) for event in events if isinstance(event, BlockRead)]
    return np.concatenate([none, *blocks], axis=2)


def hash_of(codes: Codes) -> str:
    """SHA-256 over, frame by frame and in it channel by channel, n and the n codes as 16 bits, big-endian."""
    digest = hashlib.sha256()
    for frame in codes.transpose(2, 0, 1):
        for column in frame:
            sent = column[column >= 0]
            digest.update(np.concatenate([[len(sent)], sent]).astype(">u2").tobytes())
    return digest.hexdigest()


def make_vector(vector: Vector, folder: Path) -> dict[str, Any]:
    """Write a stream and its sound; return its entry in vectors.json."""
    model = load_model(folder / "models" / vector.model)
    pcm = speech(vector.sample_rate, vector.channels, vector.seconds, vector.pause)
    encoder = StreamEncoder(model, vector.sample_rate, vector.channels, **vector.options)
    parts = encoder.push(pcm) + encoder.flush()
    if not vector.entropy:
        parts = written_raw(parts, model)
    packets = vector.framing == "packets"
    # A file of packets holds each behind its size in two bytes.
    stored = [len(part).to_bytes(2) + part for part in parts] if packets else parts
    file = f"{vector.name}.{'packets' if packets else 'nac'}"
    (folder / file).write_bytes(b"".join(stored))
    decoder = StreamDecoder(model, vector.framing)
    audio = np.concatenate([*(decoder.push(part) for part in parts), decoder.flush()])
    assert not decoder.damage
    codes = codes_of(parts, model, vector.framing)
    return {
        "file": file,
        "model": vector.model,
        "framing": vector.framing,
        "sample_rate": vector.sample_rate,
        "channels": vector.channels,
        "num_samples": len(pcm),
        "num_frames": codes.shape[2],
        "tags": [list(pair) for pair in vector.options.get("tags", ())],
        "entropy": vector.entropy,
        "codes_sha256": hash_of(codes),
        "reference": write_reference(audio, vector, folder),
    }


def write_reference(audio: Samples, vector: Vector, folder: Path) -> str | None:
    """Write the sound of a vector as FLAC, unless another has the same; return the name of its file."""
    if not len(audio):
        return None
    samples = np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16)
    for other in sorted(folder.glob("*.flac")):
        if np.array_equal(soundfile.read(other, dtype="int16", always_2d=True)[0], samples):
            return other.name
    path = folder / f"{vector.name}.flac"
    soundfile.write(path, samples, vector.sample_rate, "PCM_16")
    return path.name


def main(folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist yet.")]) -> None:
    """Make the golden vectors of this version of the format."""
    if folder.exists():
        raise typer.BadParameter(f"{folder} exists: vectors stay as they are once they are made")
    torch.set_num_threads(1)
    for config in MODELS:
        make_model(config, folder / "models" / config.name)
    entries = [make_vector(vector, folder) for vector in VECTORS]
    listed = {"format_version": FORMAT_VERSION, "vectors": entries}
    text = json.dumps(listed, indent=1, ensure_ascii=False)
    (folder / "vectors.json").write_text(f"{text}\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    typer.echo(f"{len(entries)} vectors, {size} bytes with their models")


if __name__ == "__main__":
    typer.run(main)
