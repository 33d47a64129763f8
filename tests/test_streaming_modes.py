"""Streaming equals offline, bit for bit: any bottleneck, rate mode and cutting, with one and two threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.model import CodecModel
from codec.streaming import Framing, StreamDecoder, StreamEncoder
from tests.small_model import SMALL, small_model

Pcm = NDArray[np.float32]

BOTTLENECKS = {
    "residual": BottleneckConfig(num_codebooks=8, codebook_size=16),
    "additive": AdditiveConfig(num_codebooks=8, codebook_size=16, beam=2),
    "product": ProductConfig(num_codebooks=8, codebook_size=16),
}
MODES: dict[str, dict[str, Any]] = {
    "cbr": {"num_codebooks": 5},
    "abr": {"mode": "abr", "bitrate": 1.4},
    "vbr": {"mode": "vbr", "quality": 5.0},
}


@cache
def _model(bottleneck: str) -> CodecModel:
    return small_model(config=replace(SMALL, bottleneck=BOTTLENECKS[bottleneck]))


@cache
def _pcm(rate: int, channels: int) -> Pcm:
    """Half a second of noise that comes and goes, with silence in its middle."""
    samples = np.arange(rate // 2 + 123)[:, None] / rate
    noise = np.random.default_rng(0).standard_normal((len(samples), channels))
    level = 0.1 * np.abs(np.sin(14 * samples)) * ((samples < 0.2) | (samples > 0.4))
    return (level * noise).astype(np.float32)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _cuts(length: int) -> st.SearchStrategy[list[int]]:
    few = st.lists(st.integers(0, length), max_size=12).map(sorted)
    steps = st.integers(1, length).map(lambda step: list(range(step, length, max(step, length // 200))))
    return st.one_of(few, steps)


def _encode(
    model: CodecModel, pcm: Pcm, cuts: Sequence[int], rate: int, options: dict[str, Any]
) -> list[bytes]:
    encoder = StreamEncoder(model, rate, pcm.shape[1], **options)
    return [part for piece in np.split(pcm, cuts) for part in encoder.push(piece)] + encoder.flush()


def _decode(model: CodecModel, pieces: Sequence[bytes], framing: Framing) -> Pcm:
    decoder = StreamDecoder(model, framing)
    parts = [decoder.push(piece) for piece in pieces] + [decoder.flush()]
    assert not decoder.damage
    return np.concatenate([part for part in parts if len(part)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([(16_000, 1), (8_000, 2), (44_100, 1)]), st.sampled_from([200, 500, 2000]))
def test_any_cutting_gives_the_same_bytes_and_the_same_sound(
    bottleneck: str, mode: str, threads: int, data: st.DataObject, layout: tuple[int, int], packet_ms: int
) -> None:
    model, options = _model(bottleneck), MODES[mode] | {"packet_ms": packet_ms}
    rate, channels = layout
    pcm = _pcm(rate, channels)
    whole = b"".join(_encode(model, pcm, [], rate, options))
    assert b"".join(_encode(model, pcm, data.draw(_cuts(len(pcm))), rate, options)) == whole
    sound = _decode(model, [whole], "container")
    assert sound.shape == pcm.shape
    edges = [0, *data.draw(_cuts(len(whole))), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    assert np.array_equal(_decode(model, pieces, "container"), sound)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([60, 100]))
def test_live_packets_do_not_depend_on_how_sound_is_pushed(
    bottleneck: str, mode: str, threads: int, data: st.DataObject, packet_ms: int
) -> None:
    model = _model(bottleneck)
    options = MODES[mode] | {"packet_ms": packet_ms, "framing": "packets"}
    pcm = _pcm(16_000, 1)
    packets = _encode(model, pcm, [], 16_000, options)
    assert _encode(model, pcm, data.draw(_cuts(len(pcm))), 16_000, options) == packets
    assert len(_decode(model, packets, "packets")) >= len(pcm)
