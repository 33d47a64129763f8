from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.errors import CodecError, UsageError
from codec.evaluation.evaluate import Clip, Setting
from codec.evaluation.ogg import packet_sizes
from codec.evaluation.peer_programs import ProgramPeer, run_program
from codec.evaluation.peer_trips import peer_round_trip
from codec.evaluation.peers import PEERS
from codec.evaluation.run import choose_metrics, code_clips, peer_settings
from tests.evaluation.conftest import SAMPLE_RATE, syllables
from tests.evaluation.dct_codec import DctCodec

SPEECH = Path(__file__).resolve().parents[1] / "data" / "clips" / "4441-76250-0000.flac"


def page(lacing: list[int]) -> bytes:
    """An Ogg page whose body is zeros."""
    return b"OggS" + bytes(22) + bytes([len(lacing), *lacing]) + bytes(sum(lacing))


def test_packets_are_counted_across_pages() -> None:
    assert packet_sizes(page([19]) + page([255, 45, 255]) + page([0, 7])) == [19, 300, 255, 7]
    assert packet_sizes(page([19]) + b"no page") == [19]
    assert packet_sizes(b"") == []


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_brings_speech_back_in_time(name: str, tmp_path: Path) -> None:
    peer = PEERS[name]
    missing = peer.missing()
    if missing:
        pytest.skip(f"{name} was not measured: {missing}")
    audio, rate = soundfile.read(SPEECH, dtype="float32")
    clip = Clip("speech", audio, rate)
    kbps = peer.rates_for([24.0])[-1]
    trip = peer_round_trip(peer, clip, kbps, tmp_path)
    assert trip.decoded.shape == audio.shape
    assert trip.setting == Setting(bitrate=kbps, peer=name)
    assert 0 < trip.payload_bytes <= trip.file_bytes
    # Within the noise of a variable rate, and of the lowest that an encoder can do.
    assert 0.6 < 8e-3 * trip.payload_bytes / clip.seconds / kbps < 1.4
    envelopes = [np.convolve(np.abs(each), np.hanning(320), "same") for each in (audio, trip.decoded)]
    lags = np.arange(-400, 401, 20)
    inner = slice(800, -800)
    match = [envelopes[0][inner] @ np.roll(envelopes[1], -lag)[inner] for lag in lags]
    assert abs(int(lags[np.argmax(match)])) <= 60


@pytest.mark.parametrize("name", ["opus", "amr-wb", "speex", "lc3", "mp3", "aac", "vorbis"])
def test_what_keeps_the_waveform_is_aligned_to_the_sample(name: str, tmp_path: Path) -> None:
    peer = PEERS[name]
    missing = peer.missing()
    if missing:
        pytest.skip(f"{name} was not measured: {missing}")
    audio, rate = soundfile.read(SPEECH, dtype="float32")
    trip = peer_round_trip(peer, Clip("speech", audio, rate), peer.rates_for([16.0])[-1], tmp_path)
    lags = range(-40, 41)
    match = [float(audio[40:-40] @ np.roll(trip.decoded, -lag)[40:-40]) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 1
    assert max(match) > 0.5 * np.linalg.norm(audio) * np.linalg.norm(trip.decoded)


def test_the_payload_of_amr_wb_is_the_bits_of_its_frames(tmp_path: Path) -> None:
    # 6.6, 8.85 and 23.85 kbit/s, comfort noise and a frame without data, each behind a byte that says so.
    frames = [(0, 17), (1, 23), (8, 60), (9, 5), (15, 0)]
    data = b"#!AMR-WB\n" + b"".join(bytes([kind << 3 | 4]) + bytes(size) for kind, size in frames)
    (tmp_path / "a.amr").write_bytes(data)
    payload = PEERS["amr-wb"].payload(tmp_path / "a.amr")  # type: ignore[attr-defined]
    assert payload == math.ceil((132 + 177 + 477 + 40) / 8)


def test_channels_and_rates_of_a_clip_are_kept(tmp_path: Path) -> None:
    peer = next((peer for peer in PEERS.values() if peer.missing() is None), None)
    if peer is None:
        pytest.skip("no peer's programs are installed")
    stereo = np.stack([syllables(1.0, 44_100), syllables(1.0, 44_100, pitch=180.0)], axis=1)
    kbps = peer.rates_for([16.0])[-1]
    trip = peer_round_trip(peer, Clip("stereo", stereo, 44_100), kbps, tmp_path)
    mono = peer_round_trip(peer, Clip("mono", stereo[:, 0], 44_100), kbps, tmp_path)
    assert trip.decoded.shape == stereo.shape
    np.testing.assert_array_equal(trip.decoded[:, 0], mono.decoded)
    assert trip.payload_bytes > 1.5 * mono.payload_bytes


def test_rates_are_the_nearest_a_peer_has() -> None:
    assert PEERS["opus"].rates_for([1.5, 3.0, 6.0, 9.0]) == [6.0, 9.0]
    assert PEERS["codec2"].rates_for([1.5, 3.0, 9.0]) == [1.4, 3.2]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    told: list[str] = []
    assert peer_settings(["opus", "lyra"], [6.0], told.append) == []
    assert told[0] == "opus is not measured: the program opusenc is not installed"
    assert told[1].startswith("lyra is not measured: ")
    with pytest.raises(UsageError, match="'wax' is no peer"):
        peer_settings(["wax"], [6.0], told.append)


def test_a_metric_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.evaluation.run.missing_package", {"stoi": "pystoi"}.get)
    told: list[str] = []
    assert choose_metrics(["stoi", "si_sdr"], told.append) == ["si_sdr"]
    assert told == ["stoi is not measured: the package pystoi is not installed"]
    with pytest.raises(UsageError, match="'loudness' is no metric"):
        choose_metrics(["loudness"], told.append)


def test_a_program_that_fails_is_told_in_a_sentence() -> None:
    with pytest.raises(CodecError, match=r"ls failed with exit code 2 \(.*nowhere"):
        run_program(["ls", "/nowhere"])
    with pytest.raises(CodecError, match="no_such_program cannot be run"):
        run_program(["no_such_program"])


@pytest.mark.parametrize(("content", "sentence"), [(b"no sound", "ffprobe failed"), (None, "no packets")])
def test_a_payload_that_cannot_be_counted_is_an_error(
    content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    path = tmp_path / "sound.wav"
    if content is None:
        soundfile.write(path, np.zeros(0, np.float32), 16_000)
    else:
        path.write_bytes(content)
    with pytest.raises(CodecError, match=sentence):
        PEERS["mp3"].payload(path)  # type: ignore[attr-defined]


def test_a_failing_peer_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    false = {"encode": lambda *_: ["false"], "decode": lambda *_: ["false"]}
    options = {"programs": (), "payload": lambda path: 0, "suffix": ".x", "latency_ms": 0.0}
    broken = ProgramPeer(name="broken", **false, **options)
    monkeypatch.setitem(PEERS, "broken", broken)
    told: list[str] = []
    clip = Clip("one", syllables(0.5), SAMPLE_RATE)
    settings = [Setting(bitrate=3.0), Setting(bitrate=6.0, peer="broken")]
    trips = code_clips(DctCodec(), [clip], settings, told.append, lambda amount: None)
    assert [trip.setting for trip in trips] == settings[:1]
    assert told == ["broken 6 kbit/s is left out: on one, false failed with exit code 1 (no message)"]
