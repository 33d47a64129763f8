from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from codec.errors import CodecError, UsageError
from codec.evaluation.evaluate import (
    Clip,
    Setting,
    aggregate,
    display_name,
    load_clips,
    round_trip,
)
from codec.evaluation.scoring import score, score_trips
from tests.evaluation.conftest import SAMPLE_RATE, syllables
from tests.evaluation.dct_codec import DctCodec


@pytest.fixture
def clip() -> Clip:
    return Clip("clip", syllables(4.0), SAMPLE_RATE)


def test_a_round_trip_goes_through_the_file_and_tells_its_size(clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / "clip.nac"
    trip = round_trip(DctCodec(), clip, Setting(bitrate=3.0), [], file)
    data = file.read_bytes()
    np.testing.assert_array_equal(trip.decoded, DctCodec().decode(data)[0])
    assert trip.file_bytes == len(data)
    # 4 s at 6 codebooks of 10 bits and 50 frames a second, in two blocks of a byte each more.
    assert trip.payload_bytes == 4 * 6 * 10 * 50 // 8 + 2
    assert trip.encode_seconds > 0
    assert trip.decode_seconds > 0


def test_a_number_of_codebooks_takes_the_place_of_a_bitrate(clip: Clip) -> None:
    by_number = round_trip(DctCodec(), clip, Setting(num_codebooks=6), [])
    by_rate = round_trip(DctCodec(), clip, Setting(bitrate=3.0), [])
    assert by_number.file_bytes == by_rate.file_bytes
    assert (by_number.setting.label, by_rate.setting.label) == ("6 codebooks", "3 kbit/s")


def test_more_codebooks_score_better(clip: Clip) -> None:
    trips = [round_trip(DctCodec(), clip, Setting(num_codebooks=n), ["si_sdr"]) for n in (3, 12, 48)]
    values = [trip.scores["si_sdr"].value for trip in trips]
    assert None not in values
    assert values == sorted(values)
    assert len(set(values)) == 3


def test_a_stereo_score_is_the_mean_over_channels() -> None:
    left, right = syllables(1.0), syllables(1.0, pitch=180.0)
    stereo = np.stack([left, right], axis=1)
    degraded = stereo + 0.01 * np.sin(np.arange(len(left)))[:, None].astype(np.float32)
    alone = [score("si_sdr", stereo[:, i], degraded[:, i], SAMPLE_RATE).value for i in range(2)]
    assert score("si_sdr", stereo, degraded, SAMPLE_RATE).value == pytest.approx(np.mean(alone))
    stereo[:, 1] = 0.0
    assert score("si_sdr", stereo, degraded, SAMPLE_RATE).reason == "the original is silent"


class ShorteningCodec(DctCodec):
    def decode(self, data: bytes) -> tuple[NDArray[np.float32], int]:
        audio, sample_rate = super().decode(data)
        return audio[:-1], sample_rate


def test_a_codec_that_loses_samples_is_refused(clip: Clip) -> None:
    with pytest.raises(CodecError, match=r"clip came back as \(63999,\)"):
        round_trip(ShorteningCodec(), clip, Setting(bitrate=6.0), [])


def test_aggregates_sum_bits_and_time_over_clips_of_any_length() -> None:
    clips = [Clip("long", syllables(6.0), SAMPLE_RATE), Clip("short", syllables(1.0), SAMPLE_RATE)]
    trips = [
        round_trip(DctCodec(), clip, Setting(bitrate=rate), ["si_sdr"]) for rate in (6, 3) for clip in clips
    ]
    six, three = aggregate(trips)
    assert (six.setting.bitrate, three.setting.bitrate) == (6, 3)
    assert (six.clips, six.seconds) == (2, 7.0)
    assert six.payload_kbps == pytest.approx(6.0, rel=0.01)
    assert six.file_kbps == pytest.approx(8e-3 * (trips[0].file_bytes + trips[1].file_bytes) / 7.0)
    assert six.encode_speed == pytest.approx(7.0 / (trips[0].encode_seconds + trips[1].encode_seconds))
    assert six.scores["si_sdr"].n == 2


def test_clips_are_read_in_order_of_name_and_other_files_left_alone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.flac", syllables(0.5), SAMPLE_RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([syllables(0.5)] * 2, axis=1), SAMPLE_RATE)
    (tmp_path / "LICENCE.md").write_text("CC0")
    clips = load_clips(tmp_path)
    assert [clip.name for clip in clips] == ["a", "b"]
    assert [clip.audio.shape for clip in clips] == [(8000, 2), (8000,)]
    assert clips[0].seconds == 0.5


def test_a_folder_without_usable_clips_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        load_clips(tmp_path / "nowhere")
    with pytest.raises(CodecError, match="holds no audio clips"):
        load_clips(tmp_path)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), SAMPLE_RATE)
    with pytest.raises(CodecError, match=r"empty\.wav holds no sound"):
        load_clips(tmp_path)
    (tmp_path / "empty.wav").unlink()
    (tmp_path / "fake.wav").write_text("no audio")
    with pytest.raises(CodecError, match=r"fake\.wav is not readable as audio"):
        load_clips(tmp_path)


def test_names_are_made_printable() -> None:
    assert display_name(Path("a\x1b[31mb\u202e.wav")) == "a\ufffd[31mb\ufffd"
    assert display_name(Path("\udcff.wav")) == "\ufffd"
    assert display_name(Path("Grüße 你好.wav")) == "Grüße 你好"


def test_processes_give_the_scores_of_one_process(clip: Clip) -> None:
    pytest.importorskip("pystoi")
    trips = [round_trip(DctCodec(), clip, Setting(bitrate=rate), []) for rate in (3.0, 6.0)]
    done: list[float] = []
    alone = score_trips(trips, ["si_sdr", "stoi"], jobs=1)
    together = score_trips(trips, ["si_sdr", "stoi"], jobs=2, advance=done.append)
    for one, other in zip(together, alone, strict=True):  # sums of other threads differ in the last bit
        values = {name: score.value for name, score in one.scores.items()}
        assert values == pytest.approx({name: score.value for name, score in other.scores.items()}, rel=1e-9)
    assert together[0].scores != together[1].scores
    assert sum(done) == 2


def test_settings_are_told_apart_by_their_labels() -> None:
    settings = [
        Setting(bitrate=3.0),
        Setting(bitrate=3.0, mode="abr"),
        Setting(mode="vbr", quality=5.0),
        Setting(bitrate=6.0, peer="opus"),
    ]
    assert [setting.label for setting in settings] == [
        "3 kbit/s",
        "abr 3 kbit/s",
        "vbr quality 5",
        "opus 6 kbit/s",
    ]
    assert [setting.family for setting in settings] == ["", "abr", "vbr", "opus"]
