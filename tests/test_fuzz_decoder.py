"""Damage through the whole decoder: what is lost is what was hit, and all else sounds as before."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.bitstream import BlockRead, PacketReader, SeekableStream
from codec.bitstream.units import UNIT_OVERHEAD
from codec.comfort import SOURCES
from codec.errors import CodecError
from codec.model import CodecModel
from codec.streaming import StreamDecoder
from tests.golden import Golden, vector
from tests.tools.conftest import run_tool

Pcm = NDArray[np.float32]

SEED = os.environ["TEST_SEED"]
# One raw, one entropy coded with counts that vary, of another rate than the model's or not.
NAMES = ["raw", "residual_vbr"]


@dataclass(frozen=True)
class Clean:
    """A golden file, its parts and what it decodes to undamaged."""

    golden: Golden
    data: bytes
    edges: tuple[int, ...]
    sound: Pcm

    @property
    def header_bytes(self) -> int:
        return self.edges[1]

    @property
    def footer_at(self) -> int:
        return self.edges[-2]


@cache
def _clean(name: str) -> Clean:
    golden = vector(name)
    (data,) = golden.parts()
    edges = [0, int.from_bytes(data[5:7])]
    while edges[-1] < len(data):
        edges.append(edges[-1] + UNIT_OVERHEAD + int.from_bytes(data[edges[-1] + 5 : edges[-1] + 7]))
    sound, decoder = _decode(golden, data)
    assert not decoder.damage
    return Clean(golden, data, tuple(edges), sound)


def _decode(golden: Golden, data: bytes) -> tuple[Pcm, StreamDecoder]:
    decoder = StreamDecoder(golden.load_model())
    return np.concatenate([decoder.push(data), decoder.flush()]), decoder


def _spoilt(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    """Data with one byte changed."""
    return data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]


def _played(number: int, block_frames: int, model: CodecModel) -> tuple[int, int]:
    """The samples that a block may change: its own, and one receptive field after them."""
    hop, memory = model.config.hop, model.decoder.memory
    assert memory is not None
    start = number * block_frames * hop - model.delay
    return max(start, 0), start + (block_frames + memory) * hop


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_of_a_block_costs_that_block_alone(name: str, rng: np.random.Generator) -> None:
    clean = _clean(name)
    length, model = clean.golden.header().block_frames, clean.golden.load_model()
    for unit in range(1, len(clean.edges) - 2):
        start, end = _played(unit - 1, length, model)
        for at in range(clean.edges[unit], clean.edges[unit + 1]):
            sound, decoder = _decode(clean.golden, _spoilt(clean.data, at, rng))
            assert sound.shape == clean.sound.shape
            assert np.array_equal(sound[:start], clean.sound[:start])
            assert np.array_equal(sound[end:], clean.sound[end:])
            (damage,) = decoder.damage
            assert damage.start_seconds * clean.golden.sample_rate == pytest.approx(start)
            assert damage.seconds > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_of_the_footer_costs_the_length_alone(name: str, rng: np.random.Generator) -> None:
    clean = _clean(name)
    for at in range(clean.footer_at, len(clean.data)):
        sound, decoder = _decode(clean.golden, _spoilt(clean.data, at, rng))
        assert np.array_equal(sound[: len(clean.sound)], clean.sound)
        assert len(sound) < len(clean.sound) + clean.golden.load_model().config.hop
        (damage,) = decoder.damage
        assert damage.seconds == 0
        assert "footer" in damage.reason


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_of_the_header_is_refused_in_a_pipe_and_mended_in_a_file(
    name: str, rng: np.random.Generator
) -> None:
    clean = _clean(name)
    for at in range(clean.header_bytes):
        spoilt = _spoilt(clean.data, at, rng)
        with pytest.raises(CodecError) as refused:
            _decode(clean.golden, spoilt)
        assert str(refused.value).count("\n") == 0
        stream = SeekableStream(io.BytesIO(spoilt))
        assert stream.repaired
        decoder = StreamDecoder(clean.golden.load_model(), header=stream.header)
        sound = np.concatenate([decoder.push(spoilt), decoder.flush()])
        assert np.array_equal(sound, clean.sound)


@pytest.mark.parametrize("name", NAMES)
def test_every_cut_leaves_the_whole_blocks(name: str) -> None:
    clean = _clean(name)
    length, model = clean.golden.header().block_frames, clean.golden.load_model()
    for cut in range(len(clean.data)):
        if cut < clean.header_bytes:
            with pytest.raises(CodecError, match=r"ends inside its header|is empty"):
                _decode(clean.golden, clean.data[:cut])
            continue
        sound, decoder = _decode(clean.golden, clean.data[:cut])
        blocks = sum(edge <= cut for edge in clean.edges[2:-1])
        whole = min(_played(blocks, length, model)[0], len(clean.sound))
        assert whole <= len(sound) < whole + model.config.hop
        assert np.array_equal(sound[:whole], clean.sound[:whole])
        assert "footer" in decoder.damage[-1].reason


@pytest.mark.parametrize("name", ["residual_packets", "residual_packets_vbr"])
def test_every_lost_packet_costs_its_own_frames_alone(name: str) -> None:
    golden = vector(name)
    packets, model = golden.parts(), golden.load_model()
    whole, length = _heard(golden, packets), golden.header().block_frames
    sent = _sent(golden)
    data = [at for at, packet in enumerate(packets) if packet != packets[0]][:-1]
    # The first one sets the clock: what was sent before it is not lost to who joins late.
    for number, at in list(enumerate(data))[1:]:
        start, end = _played(number, length, model)
        end += _silence_after(sent, (number + 1) * length) * model.config.hop
        sound = _heard(golden, packets[:at] + packets[at + 1 :])
        assert sound.shape == whole.shape
        assert np.array_equal(sound[:start], whole[:start])
        assert np.array_equal(sound[end:], whole[end:])


def _sent(golden: Golden) -> NDArray[np.bool_]:
    """Whether a frame sends codes, or leaves its sound to comfort noise."""
    reader, coder = PacketReader(), golden.coder()
    events = [event for packet in golden.parts() for event in reader.push(packet)]
    codes = [coder.unpack(event.payload) for event in events if isinstance(event, BlockRead)]
    return np.concatenate(codes, axis=2)[0, 0] >= 0


def _silence_after(sent: NDArray[np.bool_], frame: int) -> int:
    """Frames from one on until no comfort noise draws on what lies before it."""
    next_sources = frame + np.flatnonzero(sent[frame:])[:SOURCES]
    reach = next_sources[-1] if len(next_sources) == SOURCES else len(sent)
    silent = np.flatnonzero(~sent[frame:reach])
    return int(silent[-1]) + 1 if len(silent) else 0


def _heard(golden: Golden, packets: list[bytes]) -> Pcm:
    decoder = StreamDecoder(golden.load_model(), "packets")
    return np.concatenate([*(decoder.push(packet) for packet in packets), decoder.flush()])


@pytest.mark.parametrize(("options", "count"), [([], 3000), (["--full"], 60)])
def test_mutated_vectors_do_no_harm(options: list[str], count: int) -> None:
    result = run_tool("fuzz_bitstream.py", "--count", str(count), "--seed", SEED, *options)
    print(result.stdout)
    assert result.exit_code == 0, result.stderr
    assert f"{count} inputs in" in result.stdout
