"""Spans of files: the bits of the whole, whatever the start, the rate, the channels and the damage."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.bitstream import ContainerWriter, PayloadCoder, SeekableStream
from codec.bitstream.units import SYNC
from codec.config import CodecConfig
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.streaming import SpanDecoder, StreamDecoder, StreamEncoder
from tests.nn.networks import NETWORKS
from tests.small_model import SMALL, small_model

Pcm = NDArray[np.float32]

SECONDS = 9.0
CONFIGS: dict[str, CodecConfig] = {"small": SMALL, **NETWORKS}


@cache
def _model(name: str) -> CodecModel:
    return small_model(config=CONFIGS[name])


@cache
def _parts(name: str, rate: int, channels: int, block_ms: float, mode: str = "cbr") -> tuple[bytes, ...]:
    """A stream of noise with pauses: header, blocks, footer."""
    rng = np.random.default_rng(rate + channels)
    pcm = 0.1 * rng.standard_normal((round(SECONDS * rate) + 17, channels)).astype(np.float32)
    pcm[rate : 2 * rate] *= 1e-4
    pcm[5 * rate : 7 * rate] = 0
    options = {"mode": "vbr", "quality": 4.0} if mode == "vbr" else {"num_codebooks": 2}
    encoder = StreamEncoder(_model(name), rate, channels, packet_ms=block_ms, **options)  # type: ignore[arg-type]
    return tuple(encoder.push(pcm) + encoder.flush())


@cache
def _whole(model: CodecModel, data: bytes) -> Pcm:
    decoder = StreamDecoder(model)
    return np.concatenate([decoder.push(data), decoder.flush()])


def _span(model: CodecModel, data: bytes, start: float, seconds: float | None) -> tuple[Pcm, SpanDecoder]:
    stream = SeekableStream(io.BytesIO(data))
    decoder = SpanDecoder(model, stream, start, seconds)
    return np.concatenate([np.zeros((0, stream.header.channels), np.float32), *decoder.pieces()]), decoder


def _expect(whole: Pcm, rate: int, start: float, seconds: float | None) -> Pcm:
    end = len(whole) if seconds is None else round((start + seconds) * rate)
    return whole[round(start * rate) : end]


@settings(max_examples=20)
@given(
    layout=st.sampled_from([(16_000, 1), (8_000, 2), (44_100, 1), (22_051, 1)]),
    block_ms=st.sampled_from([20.0, 2000.0]),
    mode=st.sampled_from(["cbr", "vbr"]),
    start=st.floats(0, SECONDS + 1),
    seconds=st.none() | st.floats(0, 3),
)
def test_a_span_has_the_bits_of_the_whole(
    layout: tuple[int, int], block_ms: float, mode: str, start: float, seconds: float | None
) -> None:
    rate, channels = layout
    model, data = _model("small"), b"".join(_parts("small", rate, channels, block_ms, mode))
    audio, decoder = _span(model, data, start, seconds)
    assert np.array_equal(audio, _expect(_whole(model, data), rate, start, seconds))
    assert not decoder.damage


@settings(max_examples=20)
@given(st.data())
def test_damage_costs_a_span_what_it_costs_the_whole(data: st.DataObject) -> None:
    block_ms = data.draw(st.sampled_from([20.0, 200.0]))
    parts = list(_parts("small", 16_000, 1, block_ms))
    model = _model("small")
    lost: set[int] = set()
    for _ in range(data.draw(st.integers(1, 6))):
        first = data.draw(st.integers(1, len(parts) - 2))
        lost.update(range(first, min(first + data.draw(st.sampled_from([1, 2, 7, 40, 200])), len(parts) - 1)))
    gone = data.draw(st.booleans())
    damaged = b"".join(
        (b"" if gone else part[:-1] + b"!") if at in lost else part for at, part in enumerate(parts)
    )
    start = data.draw(st.floats(0, SECONDS))
    seconds = data.draw(st.none() | st.floats(0.01, 2))
    audio, decoder = _span(model, damaged, start, seconds)
    whole = StreamDecoder(model)
    everything = np.concatenate([whole.push(damaged), whole.flush()])
    assert np.array_equal(audio, _expect(everything, 16_000, start, seconds))
    end = SECONDS + 1 if seconds is None else start + seconds
    touched = [d for d in whole.damage if d.start_seconds < end and d.end_seconds >= start and d.seconds]
    heard = [d for d in decoder.damage if d.seconds]
    assert [d.end_seconds for d in heard] == pytest.approx([d.end_seconds for d in touched])


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "seanet"])
@pytest.mark.parametrize("start", [0.003, 2.5, 6.9999])
def test_every_network_but_an_lstm(name: str, start: float) -> None:
    model, data = _model(name), b"".join(_parts(name, 16_000, 1, 200))
    audio, _ = _span(model, data, start, 0.5)
    assert np.array_equal(audio, _expect(_whole(model, data), 16_000, start, 0.5))


def test_an_lstm_comes_close() -> None:
    model, data = _model("seanet"), b"".join(_parts("seanet", 16_000, 1, 200))
    whole = _expect(_whole(model, data), 16_000, 7.5, 1.0)
    audio, _ = _span(model, data, 7.5, 1.0)
    assert audio.shape == whole.shape
    assert np.abs(audio - whole).max() < 1e-3 * np.abs(whole).max()


class _CountingFile(io.BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_only_what_is_needed_is_read() -> None:
    model, frames = _model("small"), 50_000
    header = replace(StreamEncoder(model, 16_000, num_codebooks=4).header, block_frames=1)
    writer, coder = ContainerWriter(header), PayloadCoder(4, 4, 1, 1)
    codes = np.random.default_rng(0).integers(0, 16, (1, 4, frames))
    parts = writer.start()
    for frame in range(frames):
        parts += writer.block(frame, coder.pack(codes[:, :, frame : frame + 1]), 1)
    file = _CountingFile(b"".join(parts + writer.finish(frames * 320 - 320, bytes(8))))
    stream = SeekableStream(file)
    file.count = 0
    audio = np.concatenate(list(SpanDecoder(model, stream, 500.0, 1.0).pieces()))
    played = np.concatenate(
        list(StreamDecoder(model).push_codes(codes[:, :, 24_000:])[16_000 * 20 :][:16_000])
    )
    assert np.array_equal(audio[:, 0], played)
    assert file.count < len(file.getvalue()) / 5


def test_a_span_without_a_footer_and_behind_the_end() -> None:
    model, parts = _model("small"), _parts("small", 16_000, 1, 200)
    cut = b"".join(parts[:-1])
    whole = _whole(model, cut)
    audio, decoder = _span(model, cut, 8.5, 5.0)
    assert np.array_equal(audio, whole[136_000:])
    assert "footer" in decoder.damage[-1].reason
    assert _span(model, b"".join(parts), 1000.0, None)[0].shape == (0, 1)
    assert _span(model, b"".join(parts), 2.0, 0.0)[0].shape == (0, 1)


def test_bytes_that_look_like_blocks_do_not_mislead() -> None:
    model, parts = _model("small"), list(_parts("small", 16_000, 1, 200))
    parts.insert(20, SYNC * 3000)
    data = b"".join(parts)
    audio, _ = _span(model, data, 4.0, 1.0)
    assert np.array_equal(audio, _whole(model, data)[64_000:80_000])


@pytest.mark.parametrize(
    ("start", "seconds"), [(-1.0, None), (float("nan"), 1.0), (1.0, -0.5), (1.0, float("inf"))]
)
def test_impossible_times_are_refused(start: float, seconds: float | None) -> None:
    stream = SeekableStream(io.BytesIO(b"".join(_parts("small", 16_000, 1, 200))))
    with pytest.raises(UsageError, match="0 seconds or more"):
        SpanDecoder(_model("small"), stream, start, seconds)


def test_a_stream_of_another_model_is_refused() -> None:
    stream = SeekableStream(io.BytesIO(b"".join(_parts("small", 16_000, 1, 200))))
    with pytest.raises(CodecError, match="give the right checkpoint"):
        SpanDecoder(_model("spectral"), stream, 0.0)
