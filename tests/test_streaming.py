"""Streams: equal bits for every cutting, exact lengths, damage, packets."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codec.api import Codec
from codec.bitstream.container import ContainerWriter
from codec.bitstream.payload import PayloadCoder
from codec.errors import CodecError, UsageError
from codec.streaming import StreamDecoder, StreamEncoder
from tests.small_model import small_model

Pcm = NDArray[np.float32]

MODEL = small_model()
CODEC = Codec(MODEL)


def _noise(samples: int, channels: int = 1, seed: int = 0) -> Pcm:
    shape = (samples, channels)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def _encode(pcm: Pcm, rate: int, cuts: Sequence[int], **options: object) -> list[bytes]:
    encoder = StreamEncoder(MODEL, rate, pcm.shape[1], num_codebooks=4, **options)  # type: ignore[arg-type]
    pieces = [piece for part in np.split(pcm, cuts) for piece in encoder.push(part)]
    return pieces + encoder.flush()


def _decode(data: bytes, cuts: Sequence[int]) -> Pcm:
    decoder = StreamDecoder(MODEL)
    edges = [0, *cuts, len(data)]
    parts = [decoder.push(data[a:b]) for a, b in itertools.pairwise(edges)]
    assert not decoder.damage
    return np.concatenate([*(part for part in parts if len(part)), decoder.flush()])


def _cuts(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, length), max_size=25).map(sorted)


@settings(max_examples=25)
@given(st.data(), st.sampled_from([(16_000, 1), (8_000, 2), (44_100, 1)]))
def test_any_cutting_gives_the_same_bytes_and_the_same_audio(
    data: st.DataObject, layout: tuple[int, int]
) -> None:
    rate, channels = layout
    pcm = _noise(rate // 2 + 123, channels)
    whole = b"".join(_encode(pcm, rate, [], packet_ms=200))
    cut = b"".join(_encode(pcm, rate, data.draw(_cuts(len(pcm))), packet_ms=200))
    assert cut == whole
    audio = _decode(whole, [])
    assert audio.shape == pcm.shape
    assert np.array_equal(_decode(whole, data.draw(_cuts(len(whole)))), audio)


def test_single_samples_and_bytes_give_the_same_too() -> None:
    pcm = _noise(1500)
    whole = b"".join(_encode(pcm, 16_000, []))
    assert b"".join(_encode(pcm, 16_000, range(1, 1500))) == whole
    assert np.array_equal(_decode(whole, range(1, len(whole))), _decode(whole, []))


def test_streams_interleaved_on_one_model_do_not_disturb_each_other() -> None:
    first, second = _noise(8000, seed=1), _noise(8000, seed=2)
    encoders = [StreamEncoder(MODEL, 16_000, num_codebooks=4) for _ in range(2)]
    outputs: list[list[bytes]] = [[], []]
    for start in range(0, 8000, 700):
        for encoder, pcm, output in zip(encoders, (first, second), outputs, strict=True):
            output += encoder.push(pcm[start : start + 700])
    for encoder, pcm, output in zip(encoders, (first, second), outputs, strict=True):
        assert b"".join(output + encoder.flush()) == b"".join(_encode(pcm, 16_000, []))


def _through(pcm: Pcm) -> tuple[list[bytes], Pcm]:
    """Packets of a sound that comes 10 ms at a time, and what they decode to as they come."""
    encoder = StreamEncoder(MODEL, 16_000, num_codebooks=4, packet_ms=20, framing="packets")
    decoder, packets, heard = StreamDecoder(MODEL, "packets"), [], []
    for piece in np.split(pcm, range(160, len(pcm), 160)):
        new = encoder.push(piece)
        packets += new
        heard += [decoder.push(packet) for packet in new]
    return packets, np.concatenate([part for part in heard if len(part)])


def test_streams_in_several_threads_do_not_disturb_each_other() -> None:
    sounds = [_noise(8_000 + 320 * at, seed=at) for at in range(6)]
    alone = [_through(sound) for sound in sounds]
    with ThreadPoolExecutor(len(sounds)) as pool:
        together = list(pool.map(_through, sounds))
    for (packets, heard), (meant, sound) in zip(together, alone, strict=True):
        assert packets == meant
        assert np.array_equal(heard, sound)


def test_a_stream_can_be_driven_from_asyncio() -> None:
    pcm = _noise(6_400)
    meant = _through(pcm)[0]

    async def drive() -> list[bytes]:
        encoder = StreamEncoder(MODEL, 16_000, num_codebooks=4, packet_ms=20, framing="packets")
        pieces = np.split(pcm, range(160, len(pcm), 160))
        return [packet for piece in pieces for packet in await asyncio.to_thread(encoder.push, piece)]

    async def both() -> list[list[bytes]]:
        return await asyncio.gather(drive(), drive())

    assert asyncio.run(both()) == [meant, meant]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("samples", [0, 1, 2, 159, 319, 320, 321, 640, 1601])
def test_length_is_exact(rate: int, samples: int) -> None:
    pcm = _noise(samples)[:, 0]
    audio, decoded_rate = CODEC.decode(CODEC.encode(pcm, rate, num_codebooks=2))
    assert decoded_rate == rate
    assert audio.shape == pcm.shape


def test_many_channels_are_coded_by_themselves() -> None:
    pcm = _noise(3000, 8)
    audio, _ = CODEC.decode(CODEC.encode(pcm, 16_000, num_codebooks=3))
    alone, _ = CODEC.decode(CODEC.encode(pcm[:, 5], 16_000, num_codebooks=3))
    assert audio.shape == pcm.shape
    assert np.array_equal(audio[:, 5], alone)


def test_output_is_aligned_with_the_input() -> None:
    # An untrained model passes the low band through its linear path, so a click stays where it was.
    click = np.zeros(6400, np.float32)
    click[3000:3040] = np.hanning(40)
    z = CODEC.latents(click, 16_000)
    assert z.shape == (16, MODEL.num_frames(6400))
    energy = np.abs(np.diff(z, axis=1)).sum(axis=0)
    assert 3000 // 320 - 2 <= int(energy.argmax()) <= 3000 // 320 + 1


def test_sizes_are_counted() -> None:
    encoder = StreamEncoder(MODEL, 16_000, num_codebooks=4)
    data = b"".join(encoder.push(_noise(16_000 * 5)) + encoder.flush())
    assert encoder.payload_bytes + encoder.container_bytes == len(data)
    live = StreamEncoder(MODEL, 16_000, num_codebooks=4, packet_ms=20, framing="packets")
    packets = live.push(_noise(16_000 * 3)) + live.flush()
    assert live.payload_bytes + live.container_bytes == sum(map(len, packets))
    assert encoder.payload_bytes == pytest.approx(MODEL.num_frames(16_000 * 5) * 4 * 4 / 8, abs=8)
    decoder = StreamDecoder(MODEL)
    decoder.push(data)
    decoder.flush()
    assert (decoder.payload_bytes, decoder.container_bytes) == (
        encoder.payload_bytes,
        encoder.container_bytes,
    )


def test_a_damaged_block_costs_its_own_time_and_is_reported() -> None:
    pcm = _noise(16_000 * 2)
    data = b"".join(_encode(pcm, 16_000, [], packet_ms=200))
    clean = _decode(data, [])
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x10
    decoder = StreamDecoder(MODEL)
    audio = np.concatenate([decoder.push(bytes(damaged)), decoder.flush()])
    assert audio.shape == clean.shape
    (damage,) = decoder.damage
    assert damage.seconds == pytest.approx(0.2)
    start = round(damage.start_seconds * 16_000)
    assert np.array_equal(audio[:start], clean[:start])
    assert not np.array_equal(audio[start : start + 320], clean[start : start + 320])
    # Two blocks of kernel 7 a side remember 12 frames, and the transform one.
    resumed = start + round(0.2 * 16_000) + 14 * 320
    np.testing.assert_allclose(audio[resumed:], clean[resumed:], atol=1e-6)


def test_a_cut_stream_plays_what_is_there() -> None:
    pcm = _noise(16_000)
    data = b"".join(_encode(pcm, 16_000, [], packet_ms=200))
    clean = _decode(data, [])
    decoder = StreamDecoder(MODEL)
    audio = np.concatenate([decoder.push(data[: len(data) * 6 // 10]), decoder.flush()])
    assert decoder.damage
    assert "footer" in decoder.damage[-1].reason
    assert 0 < len(audio) < len(clean)
    assert np.array_equal(audio, clean[: len(audio)])


def test_a_long_gap_is_concealed_in_small_pieces() -> None:
    # Blocks cut out of the middle without a trace: their number is all that tells the gap.
    data = _encode(_noise(16_000 * 20, 2), 16_000, [], packet_ms=200)
    decoder = StreamDecoder(MODEL)
    pieces = [*decoder.pieces(b"".join(data[:3] + data[-3:])), *decoder.last_pieces()]
    assert sum(map(len, pieces)) == 16_000 * 20
    assert max(map(len, pieces)) <= 256 * 320 + 320
    (damage,) = decoder.damage
    assert damage.seconds == pytest.approx(20 - 0.2 * 4, abs=0.25)


def test_a_huge_block_is_decoded_in_pieces() -> None:
    # A header may claim blocks of twenty minutes: few bytes, whose audio must not take gigabytes.
    header = StreamEncoder(MODEL, 16_000, num_codebooks=1).header
    writer = ContainerWriter(replace(header, block_frames=5000))
    payload = PayloadCoder(1, header.bits_per_code, 5000, 1).pack(np.zeros((1, 1, 5000), np.int64))
    parts = writer.start() + writer.block(0, payload, 5000) + writer.finish(5000 * 320 - 320, bytes(8))
    data = b"".join(parts)
    decoder = StreamDecoder(MODEL)
    pieces = [*decoder.pieces(data), *decoder.last_pieces()]
    assert sum(map(len, pieces)) == 5000 * 320 - 320
    assert max(map(len, pieces)) <= 256 * 320 + 320


def test_codes_of_several_channels_play_without_a_header() -> None:
    codes = np.stack([CODEC.tokens(_noise(6400, seed=seed)[:, 0], 16_000) for seed in (1, 2)])
    audio = StreamDecoder(MODEL).push_codes(codes)
    assert np.array_equal(audio[:, 1], StreamDecoder(MODEL).push_codes(codes[1])[:, 0])


def test_packets_lost_and_late() -> None:
    pcm = _noise(16_000 * 2)
    packets = _encode(pcm, 16_000, [], packet_ms=20, framing="packets")
    assert sum(packet == packets[0] for packet in packets) == 3  # the header, at once and each second
    decoder = StreamDecoder(MODEL, framing="packets")
    whole = np.concatenate([decoder.push(packet) for packet in packets] + [decoder.flush()])
    assert not decoder.damage
    assert np.array_equal(whole[: len(pcm)], _decode(b"".join(_encode(pcm, 16_000, [])), []))

    told, silent = (StreamDecoder(MODEL, framing="packets") for _ in range(2))
    gaps = {20, 21, 40}
    parts_told = [told.lost(1) if i in gaps else told.push(p) for i, p in enumerate(packets)] + [told.flush()]
    parts_silent = [silent.push(p) for i, p in enumerate(packets) if i not in gaps] + [silent.flush()]
    audio_told, audio_silent = np.concatenate(parts_told), np.concatenate(parts_silent)
    assert audio_told.shape == audio_silent.shape == whole.shape
    for decoder, audio in ((told, audio_told), (silent, audio_silent)):
        # Frames 19, 20 and 39 are lost, the list of packets beginning with the header; audio is a frame late.
        assert np.array_equal(audio[: 18 * 320], whole[: 18 * 320])
        assert not np.array_equal(audio[18 * 320 : 20 * 320], whole[18 * 320 : 20 * 320])
        assert np.array_equal(
            audio[(39 + MODEL.decoder.memory) * 320 :], whole[(39 + MODEL.decoder.memory) * 320 :]
        )
        assert [damage.losses for damage in decoder.damage] in ([2, 1], [1, 1])
        assert sum(damage.seconds for damage in decoder.damage) == pytest.approx(0.06)
    late = StreamDecoder(MODEL, framing="packets")
    parts = [late.lost(1) if i == 20 else late.push(p) for i, p in enumerate(packets[:21])]
    assert len(late.push(packets[20])) == 0, "a packet given up as lost is not played again"
    assert len(np.concatenate(parts)) == len(np.concatenate(parts_told[:21]))


def test_a_gap_told_frame_by_frame_sounds_like_one_told_at_once() -> None:
    packets = _encode(_noise(8000), 16_000, [], packet_ms=20, framing="packets")
    one, many = (StreamDecoder(MODEL, framing="packets") for _ in range(2))
    for decoder in (one, many):
        for packet in packets[:10]:
            decoder.push(packet)
    gap = one.lost(300)
    assert np.array_equal(gap, np.concatenate([many.lost(1) for _ in range(300)]))
    assert np.array_equal(one.push(packets[10]), many.push(packets[10]))
    assert gap[: 100 * 320].any()
    assert not gap[200 * 320 :].any(), "a long gap ends in silence"


def test_who_joins_late_hears_from_the_next_header_on() -> None:
    packets = _encode(_noise(16_000 * 2), 16_000, [], packet_ms=20, framing="packets")
    (again,) = [i for i, packet in enumerate(packets) if packet == packets[0] and 0 < i < 60]
    decoder = StreamDecoder(MODEL, framing="packets")
    assert not any(len(decoder.push(packet)) for packet in packets[5:again])
    damaged = bytearray(packets[again])
    damaged[10] ^= 1
    with pytest.raises(CodecError, match="damaged header"):
        decoder.push(bytes(damaged))
    heard = np.concatenate([decoder.push(packet) for packet in packets[again:]] + [decoder.flush()])
    # Neither the footer nor the two headers from there on stand for sound.
    assert len(heard) == (len(packets) - again - 3) * 320 - MODEL.delay
    assert not decoder.damage


def test_a_copied_stream_goes_on_alike_and_shares_the_model() -> None:
    pcm = _noise(6000)
    encoder = StreamEncoder(MODEL, 44_100, num_codebooks=4, packet_ms=40)
    encoder.push(pcm[:2500])
    saved = copy.deepcopy(encoder)
    assert saved.model is MODEL
    rest = encoder.push(pcm[2500:]) + encoder.flush()
    assert saved.push(pcm[2500:]) + saved.flush() == rest


def test_latency_is_that_of_hop_and_resampler() -> None:
    assert StreamEncoder(MODEL, 16_000).latency_ms == 20.0
    assert StreamEncoder(MODEL, 48_000).latency_ms == pytest.approx(23.83, abs=0.01)


@pytest.mark.parametrize("codes", [np.zeros(3, np.int64), np.zeros((2, 3)), np.zeros((1, 1, 2, 3), np.int64)])
def test_what_are_no_codes_is_refused(codes: NDArray[np.int64]) -> None:
    with pytest.raises(UsageError, match="codes must be integers"):
        StreamDecoder(MODEL).push_codes(codes)


def test_codes_play_without_a_header() -> None:
    pcm = _noise(6400)[:, 0]
    codes = CODEC.tokens(pcm, 16_000)
    decoder = StreamDecoder(MODEL)
    audio = np.concatenate([decoder.push_codes(codes[:, :7]), decoder.push_codes(codes[:, 7:])])[:, 0]
    assert np.array_equal(audio, CODEC.from_tokens(codes))
    assert decoder.flush().shape == (0, 1)
    with pytest.raises(UsageError, match="after the header"):
        StreamDecoder(MODEL).lost(1)


def test_the_default_bitrate_is_what_the_model_can_give() -> None:
    assert StreamEncoder(MODEL, 16_000).header.num_codebooks == 4


@pytest.mark.parametrize("rate", [7_999, 192_001])
def test_a_header_with_an_impossible_rate_is_refused(rate: int) -> None:
    header = replace(StreamEncoder(MODEL, 16_000).header, sample_rate=rate)
    with pytest.raises(CodecError, match=rf"talk\.nac claims {rate} Hz") as refused:
        StreamDecoder(MODEL, name="talk.nac").push(header.to_bytes())
    assert refused.value.exit_code == 1


def test_foreign_streams_are_refused() -> None:
    data = CODEC.encode(_noise(400), 16_000, num_codebooks=1)
    with pytest.raises(CodecError, match=r"made with the model small .* give the right checkpoint"):
        StreamDecoder(small_model(seed=1)).push(data)
    with pytest.raises(CodecError, match=r"talk\.nac is not a codec bitstream"):
        StreamDecoder(MODEL, name="talk.nac").push(b"RIFF....")


@pytest.mark.parametrize(
    "options",
    [
        {"num_codebooks": 0},
        {"num_codebooks": 5},
        {"bitrate": 0.4, "num_codebooks": 2},
        {"bitrate": 99.0},
        {"num_codebooks": 1, "packet_ms": 10},
        {"num_codebooks": 1, "packet_ms": 10_001},
        {"num_codebooks": 1, "sample_rate": 7_000},
        {"num_codebooks": 1, "channels": 33},
        {"num_codebooks": 1, "framing": "packet"},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        StreamEncoder(MODEL, **({"sample_rate": 16_000} | options))  # type: ignore[arg-type]


def test_broken_audio_is_refused() -> None:
    encoder = StreamEncoder(MODEL, 16_000, num_codebooks=1)
    for value in (np.nan, np.inf):
        with pytest.raises(CodecError, match="NaN, infinite"):
            encoder.push(np.full(10, value, np.float32))
    for wrong in (np.zeros((10, 2), np.float32), np.zeros((10, 0), np.float32), np.zeros(10, np.int16)):
        with pytest.raises(UsageError, match="audio must be"):
            encoder.push(wrong)
