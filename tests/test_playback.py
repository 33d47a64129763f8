"""Whatever a decoder makes of codes, no sample that leaves lies beyond full scale."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from codec import Codec
from codec.bitstream import SeekableStream
from codec.model import CodecModel
from codec.streaming import SpanDecoder, StreamDecoder, StreamEncoder
from tests.small_model import small_model

Pcm = NDArray[np.float32]


@pytest.fixture(scope="module")
def loud() -> CodecModel:
    """A model that overshoots by far: a decoder with a gain, which no training would give it."""
    model = small_model()
    model.decoder_network.get_parameter("coefficient.bias").add_(100.0)
    return model


def _cut_at_full_scale(pcm: Pcm) -> bool:
    return float(np.abs(pcm).max()) == 1.0 and np.count_nonzero(np.abs(pcm) == 1.0) > len(pcm) // 10


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_files_and_spans_lie_within(loud: CodecModel, rate: int, rng: np.random.Generator) -> None:
    clip = (0.1 * rng.standard_normal(2 * rate)).astype(np.float32)
    data = Codec(loud).encode(clip, rate, num_codebooks=2)
    audio, _ = Codec(loud).decode(data)
    assert _cut_at_full_scale(audio)
    stream = SeekableStream(io.BytesIO(data))
    span = np.concatenate(list(SpanDecoder(loud, stream, 0.5, 0.8).pieces()))
    assert np.array_equal(span[:, 0], audio[rate // 2 : rate // 2 + len(span)])
    decoder = StreamDecoder(loud)
    pieces = [decoder.push(data[i : i + 1]) for i in range(len(data))]
    assert np.array_equal(np.concatenate([*(p for p in pieces if len(p)), decoder.flush()])[:, 0], audio)


def test_lost_packets_lie_within(loud: CodecModel, rng: np.random.Generator) -> None:
    encoder = StreamEncoder(loud, 16_000, num_codebooks=2, packet_ms=20, framing="packets")
    clip = (0.1 * rng.standard_normal((16_000, 1))).astype(np.float32)
    packets = encoder.push(clip) + encoder.flush()
    decoder = StreamDecoder(loud, framing="packets")
    heard = [decoder.push(packet) for packet in packets[:20]]
    heard += [decoder.lost(3), *(decoder.push(packet) for packet in packets[30:]), decoder.flush()]
    assert decoder.damage
    assert _cut_at_full_scale(np.concatenate([pcm for pcm in heard if len(pcm)]))


def test_tokens_lie_within(loud: CodecModel, rng: np.random.Generator) -> None:
    codes = rng.integers(0, 16, (4, 50))
    assert _cut_at_full_scale(Codec(loud).from_tokens(codes))
    assert _cut_at_full_scale(StreamDecoder(loud).push_codes(codes))


def test_sound_within_is_left_alone() -> None:
    model = small_model()
    codes = np.random.default_rng(5).integers(0, 16, (4, 50))
    audio = Codec(model).from_tokens(codes)
    assert 0.0 < np.abs(audio).max() < 1.0
