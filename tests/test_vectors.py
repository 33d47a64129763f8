"""Golden vectors: what was written once is decoded for ever, by the codec and from the documents alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.bitstream import (
    BlockRead,
    CodesHash,
    ContainerReader,
    ContainerWriter,
    HeaderRead,
    MetadataRead,
    PacketReader,
    PacketWriter,
    StreamEnd,
    Tags,
)
from codec.comfort import ComfortNoise
from codec.streaming import StreamDecoder
from tests import spec_reader
from tests.golden import Golden, all_vectors

ALL = all_vectors()
MAX_DIFFERENCE = 2

each_vector = pytest.mark.parametrize("golden", ALL, ids=[Path(golden.file).stem for golden in ALL])


def _read(golden: Golden) -> tuple[list[bytes], Tags, StreamEnd]:
    """Payloads, tags and end of an undamaged vector."""
    reader = ContainerReader() if golden.framing == "container" else PacketReader()
    header, *events, end = [e for part in golden.parts() for e in reader.push(part)] + reader.finish()
    assert isinstance(header, HeaderRead)
    assert isinstance(end, StreamEnd)
    payloads = [event.payload for event in events if isinstance(event, BlockRead)]
    tags = [event.tags for event in events if isinstance(event, MetadataRead)]
    assert len(payloads) + len(tags) == len(events)
    return payloads, tuple(pair for some in tags for pair in some), end


def _codes(golden: Golden, payloads: list[bytes]) -> list[NDArray[np.int64]]:
    coder = golden.coder()
    return [coder.unpack(payload) for payload in payloads]


@each_vector
def test_the_codec_finds_the_codes_the_length_and_the_tags(golden: Golden) -> None:
    header = golden.header()
    payloads, tags, end = _read(golden)
    assert (header.sample_rate, header.channels) == (golden.sample_rate, golden.channels)
    assert tags == golden.tags
    assert (end.num_frames, end.num_samples, end.reason) == (golden.num_frames, golden.num_samples, None)
    digest, frames = CodesHash(), 0
    for codes in _codes(golden, payloads):
        digest.update(codes)
        frames += codes.shape[2]
    assert frames == golden.num_frames
    assert digest.digest().hex() == golden.codes_sha256[:16]
    assert end.codes_hash == digest.digest()


@each_vector
def test_a_reader_written_from_the_documents_finds_the_same(golden: Golden) -> None:
    tables = spec_reader.read_tables((golden.model_folder() / "entropy.safetensors").read_bytes())
    parts = golden.parts()
    if golden.framing == "container":
        stream = spec_reader.read_container(parts[0], tables)
    else:
        stream = spec_reader.read_packets(parts, tables)
    assert stream.num_samples == golden.num_samples
    assert stream.codes.shape[2] == golden.num_frames
    assert spec_reader.hash_of(stream.codes).hex() == golden.codes_sha256
    assert stream.tags == list(golden.tags)
    ours = _codes(golden, _read(golden)[0])
    if ours:
        assert np.array_equal(stream.codes, np.concatenate(ours, axis=2))


@each_vector
def test_silence_is_played_as_the_documents_say(golden: Golden) -> None:
    payloads, noise, position, played = _read(golden)[0], ComfortNoise(), 0, []
    if not payloads:
        return
    parts = _codes(golden, payloads)
    for codes in parts:
        if golden.framing == "container":
            noise.reset()
        played.append(noise.fill(codes, position))
        position += codes.shape[2]
    block_frames = golden.header().block_frames if golden.framing == "container" else None
    meant = spec_reader.heard(np.concatenate(parts, axis=2), block_frames)
    assert np.array_equal(np.concatenate(played, axis=2), meant)


@each_vector
def test_the_sound_is_that_of_the_reference(golden: Golden) -> None:
    decoder = StreamDecoder(golden.load_model(), golden.framing)
    audio = np.concatenate([*(decoder.push(part) for part in golden.parts()), decoder.flush()])
    assert not decoder.damage
    assert audio.shape == (golden.num_samples, golden.channels)
    difference = np.clip(np.round(audio * 32768), -32768, 32767) - golden.sound()
    assert np.abs(difference).max(initial=0) <= MAX_DIFFERENCE


@each_vector
def test_the_same_codes_are_written_as_the_same_bytes(golden: Golden) -> None:
    # From codes to bytes all is integers: every machine writes what the one wrote that made the vectors.
    payloads, tags, end = _read(golden)
    coder = golden.coder()
    container = golden.framing == "container"
    writer = ContainerWriter(golden.header()) if container else PacketWriter(golden.header())
    parts = writer.start(tags) if isinstance(writer, ContainerWriter) else writer.start()
    digest, position = CodesHash(), 0
    for codes in _codes(golden, payloads):
        digest.update(codes)
        parts += writer.block(position, coder.pack(codes), codes.shape[2])
        position += codes.shape[2]
    assert end.num_samples is not None
    parts += writer.finish(end.num_samples, digest.digest())
    assert ([b"".join(parts)] if container else parts) == golden.parts()


def test_the_vectors_are_small_and_cover_the_format() -> None:
    for folder in {golden.folder for golden in ALL}:
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 300_000
    assert set().union(*map(_features, ALL)) >= {
        *("container", "packets", "tags", "another rate", "2 channels", "nothing"),
        *("residual", "additive", "product", "cbr", "abr", "vbr", "silence"),
        *("full", "short", "raw and constant", "raw and varying", "coded and constant", "coded and varying"),
    }


def _features(golden: Golden) -> set[str]:
    """What parts of the format a vector has."""
    header = golden.header()
    payloads, tags, end = _read(golden)
    seen = {golden.framing, header.mode, f"{header.channels} channels", golden.model.split("_")[1]}
    conditions = {
        "tags": bool(tags),
        "another rate": header.sample_rate != header.coded_rate,
        "nothing": end.num_samples == 0,
        "silence": any((codes < 0).all(axis=1).any() for codes in _codes(golden, payloads)),
    }
    for payload in payloads:
        mode = payload[0]
        seen.add("short" if mode & 0x40 else "full")
        count = "varying" if mode & 0x3F == 63 else "constant"
        seen.add(f"{'coded' if mode & 0x80 else 'raw'} and {count}")
    return seen | {name for name, holds in conditions.items() if holds}
