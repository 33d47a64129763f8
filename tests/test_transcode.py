"""`codec.transcode`: the first codebooks of a stream, as a stream of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream import CodesHash, ContainerReader, ContainerWriter, StreamHeader
from codec.config import BottleneckConfig
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.streaming import StreamDecoder, StreamEncoder
from codec.streaming.setup import describe, payload_coder
from codec.transcode import Transcoder
from tests.small_model import SMALL, small_model

TAGS = (("title", "A"), ("artist", "B"))


@pytest.fixture(scope="module")
def model() -> CodecModel:
    return small_model()


def stream_of(header: StreamHeader, codes: np.ndarray, samples: int) -> bytes:
    """A container of codes [C, M, F]."""
    writer, coder, digest = ContainerWriter(header), payload_coder(header, small_model()), CodesHash()
    parts = writer.start(TAGS)
    for start in range(0, codes.shape[2], header.block_frames):
        block = codes[:, :, start : start + header.block_frames]
        digest.update(block)
        parts += writer.block(start, coder.pack(block), block.shape[2])
    return b"".join(parts + writer.finish(samples, digest.digest()))


def transcode(model: CodecModel, data: bytes, n: int, step: int = 1 << 20) -> tuple[bytes, Transcoder]:
    reader, transcoder, output = ContainerReader("in"), None, b""
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    for events in (*map(reader.push, pieces), None):
        for event in reader.finish() if events is None else events:
            assert reader.header is not None
            transcoder = transcoder or Transcoder(model, reader.header, n, "in")
            output += b"".join(transcoder.take(event))
    assert transcoder is not None
    assert transcoder.payload_bytes + transcoder.container_bytes == len(output)
    return output, transcoder


def decode(model: CodecModel, data: bytes) -> tuple[np.ndarray, list[object]]:
    decoder = StreamDecoder(model)
    return np.concatenate([decoder.push(data), decoder.flush()]), list(decoder.damage)


def varying_codes(rng: np.random.Generator, channels: int, frames: int) -> np.ndarray:
    codes = rng.integers(0, 16, (channels, 4, frames))
    n = rng.integers(1, 5, (channels, frames))
    return np.where(np.arange(4)[:, None] < n[:, None], codes, -1)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_decodes_to_what_the_first_codebooks_decode_to(
    model: CodecModel, rng: np.random.Generator, n: int, channels: int
) -> None:
    header = replace(describe(model, 16000, channels, 4, 20), flags=2)
    codes = varying_codes(rng, channels, 70)
    data = stream_of(header, codes, 70 * 320 - 500)
    output, transcoder = transcode(model, data, n)
    assert output == stream_of(header, codes[:, :n], 70 * 320 - 500)
    assert (transcoder.damage, transcoder.tags, transcoder.header.mode) == ([], TAGS, "vbr")
    assert transcoder.dropped == np.count_nonzero(codes[:, n:] >= 0)
    kept = (codes[:, :n] >= 0).sum(axis=1)
    assert transcoder.codebooks_per_frame == (pytest.approx(kept.mean()), kept.min(), kept.max())
    assert transcoder.raw_index_bits == 4 * kept.sum()
    pcm, damage = decode(model, output)
    assert damage == []
    player = StreamDecoder(model)
    expected = player.push_codes(codes[:, :n])[: len(pcm)]
    np.testing.assert_array_equal(pcm[: len(expected)], expected)
    assert len(pcm) == 70 * 320 - 500
    # However the bytes arrive, and however often codebooks are dropped.
    assert transcode(model, data, n, step=7)[0] == output
    assert transcode(model, transcode(model, data, max(n, 3))[0], n)[0] == output


def test_a_recording_equals_the_one_that_was_coded_at_the_lower_rate(
    model: CodecModel, rng: np.random.Generator
) -> None:
    pcm = 0.1 * rng.standard_normal((30001, 1)).astype(np.float32)
    high, low = (StreamEncoder(model, 16000, num_codebooks=n, packet_ms=500) for n in (4, 2))
    data, expected = (b"".join(encoder.push(pcm) + encoder.flush()) for encoder in (high, low))
    # The greedy search chooses each codebook without a look at the later ones.
    output = transcode(model, data, 2)[0]
    for got, wanted in zip(decode(model, output), decode(model, expected), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(("last", "lost"), [(False, (40, 20)), (True, (80, 10))])
def test_what_is_missing_stays_missing(
    model: CodecModel, rng: np.random.Generator, last: bool, lost: tuple[int, int]
) -> None:
    header = describe(model, 16000, 1, 4, 20)
    codes = varying_codes(rng, 1, 90)
    data = bytearray(stream_of(header, codes, 90 * 320 - 500))
    footer_bytes = int.from_bytes(data[-2:], "big")
    data[len(data) - footer_bytes - 5 if last else len(data) // 2] ^= 1
    output, transcoder = transcode(model, bytes(data), 2)
    assert [(span.position, span.frames) for span in transcoder.damage] == [lost]
    pcm, damage = decode(model, output)
    assert len(pcm) == 90 * 320 - 500
    assert len(damage) == 1
    whole, _ = decode(model, transcode(model, stream_of(header, codes, 90 * 320 - 500), 2)[0])
    np.testing.assert_array_equal(pcm[: 39 * 320], whole[: 39 * 320])


def test_a_cut_stream_stays_cut(model: CodecModel, rng: np.random.Generator) -> None:
    data = stream_of(describe(model, 16000, 1, 4, 20), varying_codes(rng, 1, 90), 90 * 320 - 500)
    output, transcoder = transcode(model, data[: len(data) * 2 // 3], 2)
    assert "footer" in transcoder.damage[-1].reason
    _, damage = decode(model, output)
    assert damage


def test_codes_that_the_footer_does_not_vouch_for_are_told(
    model: CodecModel, rng: np.random.Generator
) -> None:
    header, codes = describe(model, 16000, 1, 4, 20), varying_codes(rng, 1, 40)
    writer = ContainerWriter(header)
    parts = writer.start()
    for start in (0, 20):
        parts += writer.block(
            start, payload_coder(header, small_model()).pack(codes[:, :, start : start + 20]), 20
        )
    parts += writer.finish(12000, bytes(8))
    _, transcoder = transcode(model, b"".join(parts), 2)
    assert [lost.reason for lost in transcoder.damage] == ["its codes are not those that were encoded"]


@pytest.mark.parametrize("second", [True, False])
def test_a_stream_that_goes_on_after_a_short_block_is_refused(
    model: CodecModel, rng: np.random.Generator, second: bool
) -> None:
    header, codes = describe(model, 16000, 1, 4, 20), varying_codes(rng, 1, 40)
    coder, writer = payload_coder(header, small_model()), ContainerWriter(header)
    parts = writer.start() + writer.block(0, coder.pack(codes[:, :, :13]), 20)
    if second:
        parts += writer.block(20, coder.pack(codes[:, :, 20:]), 20)
    parts += writer.finish(6000, bytes(8), 40)
    with pytest.raises(CodecError, match="goes on after a short block"):
        transcode(model, b"".join(parts), 2)


@pytest.mark.parametrize("n", [0, 5, -1])
def test_codebooks_that_the_model_does_not_have(model: CodecModel, n: int) -> None:
    with pytest.raises(UsageError, match=f"of in, 1 to 4 codebooks can be kept, not {n}"):
        Transcoder(model, describe(model, 16000, 1, 2, 20), n, "in")


def test_models_that_cannot_be_cut_are_refused() -> None:
    config = replace(SMALL, bottleneck=BottleneckConfig(kind="additive", num_codebooks=4, codebook_size=16))
    additive = small_model(0, config)
    with pytest.raises(CodecError, match="of use only together"):
        Transcoder(additive, describe(additive, 16000, 1, 4, 20), 2, "in")
    with pytest.raises(CodecError, match="was made with the model"):
        Transcoder(small_model(1), describe(small_model(2), 16000, 1, 4, 20), 2, "in")
