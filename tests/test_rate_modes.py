"""Rate modes of streams: real sizes, equal bytes for every cutting, live changes, bad options."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.bitstream.container import ContainerReader
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.events import BlockRead
from codec.bitstream.tables import EntropyTables, starts_of
from codec.config import AdditiveConfig, BottleneckConfig, ProductConfig
from codec.engine import Engine
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.streaming import StreamDecoder, StreamEncoder, TwoPassEncoder
from codec.streaming.setup import payload_coder
from tests.bitstream.small_tables import random_tables
from tests.small_model import SMALL, small_model

Pcm = NDArray[np.float32]

SIZES = {"num_codebooks": 4, "codebook_size": 16}


def _talk(seconds: float, channels: int = 1, seed: int = 0, rate: int = 16_000) -> Pcm:
    """Noise in syllables, with a second of silence from 1.5 s on and a pause of faint noise at 4 s."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    loudness = 0.2 * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) ** 2 + 1e-4
    loudness[(time % 6 > 4) & (time % 6 < 5)] = 1e-4
    loudness[(time > 1.5) & (time < 2.5)] = 0.0
    noise = random.standard_normal((len(time), channels))
    smooth = noise + np.roll(noise, 1, axis=0) + np.roll(noise, 2, axis=0)
    return (loudness[:, None] * smooth / 3).astype(np.float32)


def _fitted(config: BottleneckConfig | AdditiveConfig | ProductConfig) -> CodecModel:
    """A model whose codebooks are fitted to such sound, so that each of them tells something."""
    model = small_model(config=dataclasses.replace(SMALL, bottleneck=config))
    pcm = torch.from_numpy(_talk(30.0, seed=9)[:, 0])
    engine = Engine(model)
    z, _ = engine.latents(pcm[: len(pcm) // 320 * 320], engine.start_encoder())
    model.bottleneck.fit_kmeans(z.unsqueeze(0))
    return model


def _tables() -> EntropyTables:
    """Random tables for the codes, and ones in which a number of codebooks mostly stays."""
    sizes = np.full((6, 5), 400)
    sizes[:5][np.diag_indices(5)] = 65_536 - 4 * 400
    sizes[5] = 65_536 // 5
    sizes[5, 0] += 65_536 % 5
    return dataclasses.replace(random_tables(4, 16), counts=starts_of(sizes))


# 20 codebooks of 0.35 kbit/s a channel.
LARGE = _fitted(BottleneckConfig(num_codebooks=20, codebook_size=128))
MODELS = {
    "residual": _fitted(BottleneckConfig(**SIZES)),
    "additive": _fitted(AdditiveConfig(**SIZES, beam=4)),
    "product": _fitted(ProductConfig(**SIZES)),
    "coded": _fitted(BottleneckConfig(**SIZES)),
}
MODELS["coded"].entropy = EntropyCoder(_tables())


def _run(encoder: StreamEncoder | TwoPassEncoder, pcm: Pcm, cuts: Sequence[int] = ()) -> list[bytes]:
    pushed = [piece for part in np.split(pcm, cuts) for piece in encoder.push(part)]
    return [*pushed, *encoder.flush()]


def _counts(model: CodecModel, data: bytes) -> Iterator[NDArray[np.int64]]:
    """Codebooks ``[C, F]`` of each block."""
    reader = ContainerReader()
    for event in reader.push(data):
        if isinstance(event, BlockRead):
            assert reader.header is not None
            yield (payload_coder(reader.header, model).unpack(event.payload) >= 0).sum(axis=1)


@settings(max_examples=25)
@given(
    st.data(),
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(
        [
            {"mode": "abr", "bitrate": 0.7},
            {"mode": "abr", "bitrate": 1.2, "framing": "packets"},
            {"mode": "vbr", "quality": 4.0},
            {"mode": "vbr", "quality": 8.0, "max_bitrate": 1.3},
            {"mode": "cbr", "bitrate": 0.4, "max_bitrate": 1.6},
        ]
    ),
    st.sampled_from([(16_000, 2), (8_000, 1), (44_100, 2)]),
)
def test_any_cutting_gives_the_same_bytes(
    data: st.DataObject, name: str, options: dict[str, object], layout: tuple[int, int]
) -> None:
    rate, channels = layout
    if channels == 1 and "bitrate" in options:
        options = options | {"bitrate": 0.7}
        options = options | ({"max_bitrate": 0.8} if "max_bitrate" in options else {})
    elif channels == 1 and "max_bitrate" in options:
        options = options | {"max_bitrate": 0.8}
    pcm = _talk(1.7, channels, rate=rate)
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=12).map(sorted))
    model = MODELS[name]
    whole, cut = (
        _run(StreamEncoder(model, rate, channels, packet_ms=400, **options), pcm, at)  # type: ignore[arg-type]
        for at in ((), cuts)
    )
    assert cut == whole
    decoder = StreamDecoder(model, framing=options.get("framing", "container"))  # type: ignore[arg-type]
    sound = [part for piece in whole if len(part := decoder.push(piece))] + [decoder.flush()]
    assert not decoder.damage
    assert len(np.concatenate(sound)) >= len(pcm)


@pytest.mark.parametrize("mode", ["abr", "vbr"])
def test_two_threads_decide_alike(mode: str) -> None:
    pcm = _talk(3.0)
    options = {"mode": mode, "bitrate": 0.5} if mode == "abr" else {"mode": mode}
    single = _run(StreamEncoder(MODELS["residual"], 16_000, **options), pcm)  # type: ignore[arg-type]
    torch.set_num_threads(2)
    try:
        double = _run(StreamEncoder(MODELS["residual"], 16_000, **options), pcm)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(1)
    assert single == double


@pytest.mark.parametrize("bitrate", [1.0, 1.5, 3.0, 6.0])
@pytest.mark.parametrize("seconds", [10.3, 12.02, 17.0])
def test_abr_files_have_the_size_they_should(bitrate: float, seconds: float) -> None:
    pcm = _talk(seconds)
    tolerance = 0.01 if bitrate >= 3 else 0.02
    size = len(b"".join(_run(StreamEncoder(LARGE, 16_000, mode="abr", bitrate=bitrate), pcm)))
    assert 8 * size / seconds / 1000 == pytest.approx(bitrate, rel=tolerance)
    size = len(b"".join(_run(TwoPassEncoder(LARGE, 16_000, bitrate=bitrate), pcm)))
    assert 8 * size / seconds / 1000 == pytest.approx(bitrate, rel=tolerance)


@pytest.mark.parametrize(("packet_ms", "share"), [(4000, 0.965), (10_000, 0.976)])
def test_abr_near_the_rate_of_all_codebooks_sends_nearly_all(packet_ms: int, share: float) -> None:
    """What is saved there could not be spent any more; shorter blocks leave less beside their headers."""
    pcm = _talk(60.0)
    encoder = StreamEncoder(LARGE, 16_000, mode="abr", bitrate=7.0, packet_ms=packet_ms)
    counts = np.concatenate([n.ravel() for n in _counts(LARGE, b"".join(_run(encoder, pcm)))])
    assert counts.mean() > share * LARGE.bottleneck.num_codebooks


def test_abr_keeps_two_blocks_of_a_file_back_and_no_packet() -> None:
    pcm = _talk(1.0)
    parts = StreamEncoder(LARGE, 16_000, mode="abr", bitrate=3.0, packet_ms=200).push(pcm)
    assert len(parts) == 1 + 3, "the header and all but two of five blocks"
    options = {"bitrate": 4.0, "packet_ms": 200, "framing": "packets", "mode": "abr"}
    assert len(StreamEncoder(LARGE, 16_000, **options).push(pcm)) == 1 + 5  # type: ignore[arg-type]


def test_abr_takes_up_what_is_left_at_the_end_with_raw_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    coder = EntropyCoder(_tables())
    monkeypatch.setattr(coder, "encode", lambda codes, counts: b"\0")  # as if all of it were silence
    model = copy.copy(MODELS["coded"])
    model.entropy = coder
    encoder = StreamEncoder(model, 16_000, mode="abr", bitrate=0.75)
    reader, data = ContainerReader(), b"".join(_run(encoder, _talk(15.0)))
    payloads = [event.payload for event in reader.push(data) if isinstance(event, BlockRead)]
    assert [payload[0] >= 0x80 for payload in payloads] == [True] * 5 + [False] * 3


def test_abr_in_packets_counts_all_their_bytes() -> None:
    pcm = _talk(12.0, channels=2)
    options = {"bitrate": 8.0, "packet_ms": 60, "framing": "packets", "mode": "abr"}
    size = sum(map(len, _run(StreamEncoder(LARGE, 16_000, 2, **options), pcm)))  # type: ignore[arg-type]
    assert 8 * size / 12_000 == pytest.approx(8.0, rel=0.01)


def test_abr_spends_its_bits_where_sound_is() -> None:
    pcm = _talk(10.0)
    encoder = StreamEncoder(LARGE, 16_000, mode="abr", bitrate=2.5)
    n = np.concatenate(list(_counts(LARGE, b"".join(_run(encoder, pcm)))), axis=1)[0]
    loud = np.sqrt(np.square(pcm[: len(n) * 320 - 320].reshape(-1, 320)).mean(axis=1)) > 0.02
    assert n[:-1][loud].mean() > n[:-1][~loud].mean() + 1
    assert encoder.codebooks_per_frame == (pytest.approx(n.mean()), n.min(), n.max())
    assert encoder.raw_index_bits == n.sum() * 7


def test_quality_orders_sizes_and_silence_costs_next_to_nothing() -> None:
    pcm = _talk(6.0)
    sizes = [
        len(b"".join(_run(StreamEncoder(LARGE, 16_000, mode="vbr", quality=quality), pcm)))
        for quality in (0, 2.5, 5, 7.5, 10)
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]
    encoder = StreamEncoder(MODELS["coded"], 16_000, mode="vbr", quality=10)
    silence = _run(encoder, np.zeros((60 * 16_000, 1), np.float32))
    assert 8 * encoder.payload_bytes / 60 < 70, "bits a second of digital silence"
    assert encoder.codebooks_per_frame[1] == 0
    decoder = StreamDecoder(MODELS["coded"])
    assert len(np.concatenate([decoder.push(b"".join(silence)), decoder.flush()])) == 60 * 16_000


@pytest.mark.parametrize("packet_ms", [100, 2000])
def test_no_block_exceeds_the_highest_bitrate(packet_ms: int) -> None:
    pcm = np.concatenate([_talk(5.0), _talk(4.0, seed=1)[::2]])
    for options in ({"mode": "vbr", "quality": 10}, {"mode": "abr", "bitrate": 2.4}):
        encoder = StreamEncoder(LARGE, 16_000, packet_ms=packet_ms, max_bitrate=2.5, **options)  # type: ignore[arg-type]
        blocks = _run(encoder, pcm)[1:-2]
        assert max(map(len, blocks)) * 8 <= 2.5 * packet_ms
        if options["mode"] == "vbr":
            assert max(map(len, blocks)) * 8 > 0.8 * 2.5 * packet_ms, "and makes use of it"
    constant = StreamEncoder(LARGE, 16_000, max_bitrate=2.5)
    assert max(map(len, _run(constant, pcm)[1:-1])) * 8 <= 2.5 * 2000 + 8 * 13


def test_a_new_target_holds_from_the_next_block_on() -> None:
    pcm = _talk(4.0)
    constant = StreamEncoder(LARGE, 16_000, bitrate=1.4, packet_ms=200, max_bitrate=7.0)
    parts = constant.push(pcm[: 2 * 16_000 - 100])
    constant.set_bitrate(2.8)
    parts += constant.push(pcm[2 * 16_000 - 100 :]) + constant.flush()
    n = [set(block[0].tolist()) for block in _counts(LARGE, b"".join(parts))]
    assert n == [{4}] * 10 + [{8}] * 11

    average = StreamEncoder(LARGE, 16_000, mode="abr", bitrate=1.5, packet_ms=200)
    parts = average.push(pcm)
    average.set_bitrate(5.0)
    before = sum(map(len, parts))
    after = sum(map(len, average.push(pcm) + average.flush()))
    assert after > 2.5 * before

    variable = StreamEncoder(LARGE, 16_000, mode="vbr", quality=2, packet_ms=200)
    before = sum(map(len, variable.push(pcm)))
    variable.set_quality(8)
    assert sum(map(len, variable.push(pcm) + variable.flush())) > 1.3 * before


@pytest.mark.parametrize("cut", [1, 3199, 3200, 3201, 9600])
def test_when_a_new_target_holds_does_not_depend_on_the_cutting(cut: int) -> None:
    pcm = _talk(1.0)
    outputs = []
    for cuts in ([], range(0, cut, 777)):
        encoder = StreamEncoder(LARGE, 44_100, mode="abr", bitrate=2.0, packet_ms=100)
        output = [piece for part in np.split(pcm[:cut], cuts) for piece in encoder.push(part)]
        encoder.set_bitrate(4.0)
        outputs.append(output + _run(encoder, pcm[cut:]))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("options", [{"mode": "abr", "bitrate": 0.7}, {"mode": "vbr"}])
def test_a_copied_stream_decides_alike(options: dict[str, object]) -> None:
    pcm = _talk(3.0)
    encoder = StreamEncoder(MODELS["coded"], 48_000, packet_ms=300, **options)  # type: ignore[arg-type]
    encoder.push(pcm[:20_000])
    saved = copy.deepcopy(encoder)
    assert saved.model is MODELS["coded"]
    rest = _run(encoder, pcm[20_000:])
    assert _run(saved, pcm[20_000:]) == rest


def test_packet_by_packet_nothing_is_held_back() -> None:
    encoder = StreamEncoder(LARGE, 16_000, mode="vbr", packet_ms=20, framing="packets")
    encoder.push(np.zeros(0, np.float32))
    pcm = _talk(0.4)
    assert all(len(encoder.push(part)) == 1 for part in np.split(pcm, 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "abr", "bitrate": 0.2}, "between 0.35 and 7 kbit/s"),
        ({"mode": "abr", "bitrate": 7.5}, "between 0.35 and 7 kbit/s"),
        ({"mode": "abr", "bitrate": float("nan")}, "between 0.35 and 7 kbit/s"),
        ({"mode": "abr", "bitrate": 1.0, "packet_ms": 20}, "raise the bitrate, or make the blocks longer"),
        ({"mode": "abr", "num_codebooks": 3}, "goes with the mode cbr"),
        ({"mode": "abr", "quality": 3}, "goes with the mode vbr"),
        ({"mode": "vbr", "bitrate": 3.0}, "takes a quality"),
        ({"mode": "vbr", "quality": 10.1}, "between 0 and 10, not 10.1"),
        ({"mode": "vbr", "quality": -1}, "between 0 and 10"),
        ({"mode": "vbr", "quality": float("nan")}, "between 0 and 10"),
        ({"mode": "vbr", "max_bitrate": 0.1}, "between 0.35 and 7"),
        ({"mode": "vbr", "max_bitrate": 1.0, "packet_ms": 20}, "raise the bitrate"),
        ({"mode": "abr", "bitrate": 3.0, "max_bitrate": 2.0}, "above the highest"),
        ({"num_codebooks": 9, "max_bitrate": 3.0}, r"in 1\.\.8"),
        ({"mode": "best"}, "one of cbr, abr, vbr"),
        ({"framing": "packets", "tags": [("title", "x")]}, "packets carry no tags"),
    ],
)
def test_what_cannot_be_had_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StreamEncoder(LARGE, 16_000, **options)  # type: ignore[arg-type]


def test_targets_of_another_mode_are_refused() -> None:
    with pytest.raises(UsageError, match="follows a quality"):
        StreamEncoder(LARGE, 16_000, mode="vbr").set_bitrate(3.0)
    with pytest.raises(UsageError, match="follows a bitrate"):
        StreamEncoder(LARGE, 16_000).set_quality(3.0)
    with pytest.raises(UsageError, match="promises at most 8 codebooks"):
        StreamEncoder(LARGE, 16_000, bitrate=2.8).set_bitrate(3.5)
    with pytest.raises(UsageError, match="above the highest"):
        StreamEncoder(LARGE, 16_000, bitrate=2.8, max_bitrate=3.0).set_bitrate(3.5)


@pytest.mark.parametrize("memory", [0, 1 << 24])
def test_two_passes_give_the_same_bytes_for_every_cutting_and_on_disk(
    monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    pcm = _talk(5.3, channels=2, rate=44_100)
    options = {"bitrate": 1.2, "packet_ms": 400, "max_bitrate": 1.5, "tags": [("title", "talk")]}
    whole = _run(TwoPassEncoder(MODELS["coded"], 44_100, 2, **options), pcm)  # type: ignore[arg-type]
    monkeypatch.setattr("codec.streaming.block_store._MEMORY_BYTES", memory)
    cuts = [0, 1, 5000, 5000, 90_001]
    cut = _run(TwoPassEncoder(MODELS["coded"], 44_100, 2, **options), pcm, cuts)  # type: ignore[arg-type]
    assert cut == whole
    decoder = StreamDecoder(MODELS["coded"])
    assert len(np.concatenate([decoder.push(b"".join(whole)), decoder.flush()])) == len(pcm)
    assert not decoder.damage


def test_two_passes_place_bits_over_the_whole_sound() -> None:
    """In one pass what comes first cannot save for what comes at the end."""
    pcm = np.concatenate([0.02 * _talk(10.0), _talk(10.0)])
    shares = []
    for encoder in (
        StreamEncoder(LARGE, 16_000, mode="abr", bitrate=2.0),
        TwoPassEncoder(LARGE, 16_000, 1, 2.0),
    ):
        n = np.concatenate(list(_counts(LARGE, b"".join(_run(encoder, pcm)))), axis=1)[0]
        shares.append(n[len(n) // 2 :].sum() / n.sum())
    assert shares[1] > shares[0] + 0.02


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.SpooledTemporaryFile", lambda max_size: full)
        with pytest.raises(CodecError, match="set TMPDIR to a larger folder"):
            _run(TwoPassEncoder(LARGE, 16_000, bitrate=3.0), _talk(5.0))


def test_two_passes_refuse_what_blocks_exceed_at_once() -> None:
    with pytest.raises(UsageError, match="make the blocks longer"):
        TwoPassEncoder(LARGE, 16_000, bitrate=0.4, packet_ms=20)


def test_two_passes_over_nothing_give_an_empty_stream() -> None:
    data = b"".join(TwoPassEncoder(LARGE, 16_000, bitrate=3.0).flush())
    decoder = StreamDecoder(LARGE)
    assert len(np.concatenate([decoder.push(data), decoder.flush()])) == 0
