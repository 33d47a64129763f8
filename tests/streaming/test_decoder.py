"""Loss and damage through the decoder: every network and bottleneck, every way of being told of it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.bitstream import CodesHash, ContainerWriter, PayloadCoder
from codec.config import AdditiveConfig, ProductConfig
from codec.loss import PatternLoss, UniformLoss
from codec.model import CodecModel
from codec.streaming import StreamDecoder, StreamEncoder
from tests.nn.networks import NETWORKS
from tests.small_model import SMALL, small_model

Pcm = NDArray[np.float32]

CONFIGS = {
    **NETWORKS,
    "additive": replace(SMALL, bottleneck=AdditiveConfig(num_codebooks=3, codebook_size=8)),
    "product": replace(SMALL, bottleneck=ProductConfig(num_codebooks=4, codebook_size=16)),
}


@cache
def _model(name: str) -> CodecModel:
    return small_model(config=CONFIGS[name])


def _noise(model: CodecModel, frames: int, channels: int = 1, seed: int = 0) -> Pcm:
    shape = (frames * model.config.hop, channels)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def _packets(model: CodecModel, count: int) -> list[bytes]:
    """The header, then so many packets or one more, with the header once a second, and the end."""
    encoder = StreamEncoder(model, model.config.sample_rate, num_codebooks=2, packet_ms=20, framing="packets")
    return encoder.push(_noise(model, count * encoder.header.block_frames)) + encoder.flush()


def _heard(decoder: StreamDecoder, parts: Sequence[bytes]) -> Pcm:
    pieces = [*(decoder.push(part) for part in parts), decoder.flush()]
    return np.concatenate([piece for piece in pieces if len(piece)])


def _container(model: CodecModel, frames: int, block_ms: float = 200, channels: int = 1) -> list[bytes]:
    encoder = StreamEncoder(model, 16_000, channels, num_codebooks=2, packet_ms=block_ms)
    return encoder.push(_noise(model, frames, channels)) + encoder.flush()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_lost_packet_costs_its_own_time_and_what_the_decoder_remembers(name: str) -> None:
    model = _model(name)
    packets = _packets(model, 48)
    whole = _heard(StreamDecoder(model, "packets"), packets)
    frames, hop = round(0.02 * model.frame_rate), model.config.hop
    lost = 21
    decoder = StreamDecoder(model, "packets")
    audio = _heard(decoder, packets[:lost] + packets[lost + 1 :])
    assert audio.shape == whole.shape
    assert np.isfinite(audio).all()
    (damage,) = decoder.damage
    assert damage.seconds == pytest.approx(frames * hop / 16_000)
    start = (lost - 1) * frames * hop - model.delay
    assert np.array_equal(audio[:start], whole[:start])
    assert not np.array_equal(audio[start : start + hop], whole[start : start + hop])
    if model.decoder.memory is None:
        # An LSTM never forgets a gap altogether, and it goes on from the state it had.
        assert np.abs(audio - whole)[-hop:].max() < np.abs(audio - whole)[start : start + frames * hop].max()
    else:
        end = start + model.delay + (frames + model.decoder.memory) * hop
        assert np.array_equal(audio[end:], whole[end:])


@settings(max_examples=15)
@given(st.data())
def test_damage_sounds_the_same_for_any_cutting(data: st.DataObject) -> None:
    model = _model("spectral")
    parts = _container(model, 300, block_ms=40, channels=2)
    lost = data.draw(st.sets(st.integers(2, len(parts) - 2), max_size=8))
    damaged = b"".join(part[:-1] + b"?" if at in lost else part for at, part in enumerate(parts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(damaged)), max_size=12)))
    one, many = StreamDecoder(model), StreamDecoder(model)
    whole = _heard(one, [damaged])
    cut = _heard(many, [damaged[a:b] for a, b in itertools.pairwise([0, *cuts, len(damaged)])])
    assert np.array_equal(whole, cut)
    assert one.damage == many.damage
    assert sum(damage.losses for damage in one.damage) >= bool(lost)


def test_a_simulated_loss_is_heard_as_the_loss_of_the_block() -> None:
    model = _model("spectral")
    parts = _container(model, 100, block_ms=20)
    lost = list(islice(UniformLoss(0.3, seed=4), len(parts)))
    simulated = StreamDecoder(model, loss=UniformLoss(0.3, seed=4))
    audio = _heard(simulated, [b"".join(parts)])
    # The header comes first, and the footer last.
    kept = [part for at, part in enumerate(parts) if at in (0, len(parts) - 1) or not lost[at - 1]]
    real = StreamDecoder(model)
    assert np.array_equal(audio, _heard(real, kept))
    assert [d.start_seconds for d in simulated.damage] == [d.start_seconds for d in real.damage]
    assert simulated.damage[0].reason == "lost in the simulation"


def test_all_lost_is_silence_of_the_right_length() -> None:
    model = _model("spectral")
    decoder = StreamDecoder(model, loss=PatternLoss([True]))
    audio = _heard(decoder, _container(model, 50))
    assert audio.shape == (50 * model.config.hop, 1)
    assert not audio.any()


def test_a_stream_copied_within_a_gap_goes_on_alike() -> None:
    model = _model("spectral")
    packets = _packets(model, 60)
    decoder = StreamDecoder(model, "packets")
    for packet in packets[:15]:
        decoder.push(packet)
    decoder.lost(3)
    twin = copy.deepcopy(decoder)
    rest = packets[18:]
    assert np.array_equal(_heard(decoder, rest), _heard(twin, rest))
    assert decoder.damage == twin.damage


def test_sound_comes_back_smoothly_after_a_long_gap() -> None:
    model = _model("spectral")
    packets = _packets(model, 300)
    decoder = StreamDecoder(model, "packets")
    for packet in packets[:40]:
        decoder.push(packet)
    decoder.lost(2000)
    hop = model.config.hop
    back = np.concatenate([decoder.push(packet) for packet in packets[-10:-5]])
    assert np.abs(back[: hop // 4]).mean() < np.abs(back[hop:]).mean() / 4


class _Forged:
    """A container with any payloads and any hash."""

    def __init__(self) -> None:
        self.model = small_model()
        self.header = replace(StreamEncoder(self.model, 16_000, num_codebooks=2).header, block_frames=10)
        self.coder = PayloadCoder(2, 4, 10, 1)
        codes = np.random.default_rng(0).integers(0, 16, (1, 2, 40))
        self.codes = np.split(codes, 4, axis=2)
        self.payloads = [self.coder.pack(part) for part in self.codes]
        everything = CodesHash()
        everything.update(codes)
        self.hash = everything.digest()

    def decode(self) -> tuple[Pcm, StreamDecoder]:
        writer = ContainerWriter(self.header)
        parts = writer.start()
        for number, payload in enumerate(self.payloads):
            parts += writer.block(10 * number, payload, 10)
        parts += writer.finish(39 * 320, self.hash)
        decoder = StreamDecoder(self.model)
        return _heard(decoder, parts), decoder


def test_codes_that_are_not_those_written_are_reported() -> None:
    forged = _Forged()
    clean, decoder = forged.decode()
    assert not decoder.damage
    forged.hash = bytes(8)
    audio, decoder = forged.decode()
    assert np.array_equal(audio, clean)
    (damage,) = decoder.damage
    assert (damage.seconds, damage.reason) == (0, "the codes are not those that were written")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (lambda forged: b"\x02", "bytes of codes where"),
        (lambda forged: b"\x82" + forged.payloads[2][1:], "no tables"),
    ],
)
def test_a_payload_that_is_no_codes_is_damage_of_its_block(payload: object, reason: str) -> None:
    forged = _Forged()
    clean, _ = forged.decode()
    forged.payloads[2] = payload(forged)  # type: ignore[operator]
    audio, decoder = forged.decode()
    assert audio.shape == clean.shape
    (damage,) = decoder.damage
    assert reason in damage.reason
    assert damage.seconds == pytest.approx(0.2)
    hop, memory = 320, forged.model.decoder.memory
    assert memory is not None
    assert np.array_equal(audio[: 19 * hop], clean[: 19 * hop])
    assert not np.array_equal(audio[19 * hop : 29 * hop], clean[19 * hop : 29 * hop])
    # The last block is shorter than the decoder's memory; its frames come at their time all the same.
    assert audio[30 * hop :].any()


def test_a_short_block_that_is_not_the_last_keeps_the_clock() -> None:
    forged = _Forged()
    clean, _ = forged.decode()
    forged.payloads[1] = forged.coder.pack(forged.codes[1][:, :, :7])
    audio, decoder = forged.decode()
    assert audio.shape == clean.shape
    (damage,) = decoder.damage
    assert damage.reason == "a block ended early"
    assert damage.seconds == pytest.approx(0.06)
    assert damage.start_seconds == pytest.approx(0.34 - forged.model.delay / 16_000)


def test_a_short_last_block_is_no_damage() -> None:
    model = _model("spectral")
    decoder = StreamDecoder(model)
    _heard(decoder, _container(model, 57))
    assert not decoder.damage


def test_silence_is_played_for_frames_that_send_nothing() -> None:
    model = _model("spectral")
    decoder = StreamDecoder(model)
    codes = np.full((4, 80), -1)
    quiet = decoder.push_codes(codes)
    silent = StreamEncoder(model, 16_000, num_codebooks=4)
    zeros = _heard(StreamDecoder(model), silent.push(np.zeros((80 * 32, 1), np.float32)) + silent.flush())
    assert quiet.shape[0] == 80 * model.config.hop - model.delay
    assert np.isfinite(quiet).all()
    assert np.abs(quiet[-32:]).mean() < np.abs(zeros[-32:]).mean() + 0.1
