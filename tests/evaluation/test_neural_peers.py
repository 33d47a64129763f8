"""EnCodec, DAC and Lyra through stand-ins that refuse what the real ones would refuse, and keep the sound."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import CodecError
from codec.evaluation.evaluate import Clip
from codec.evaluation.peer_trips import peer_round_trip
from codec.evaluation.peers import PEERS
from codec.evaluation.run import peer_settings
from tests.evaluation.conftest import SAMPLE_RATE, syllables

# Sound goes past the codes, since a stand-in has no network; the weights are its gain.
ENCODEC = """
import torch

class EncodecModel(torch.nn.Module):
    bits_per_codebook = 10

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    @staticmethod
    def encodec_model_24khz(pretrained=True):
        assert not pretrained, "this would go to the network"
        return EncodecModel()

    def set_target_bandwidth(self, bandwidth):
        assert bandwidth in (1.5, 3.0, 6.0, 12.0, 24.0)
        self.codebooks = round(bandwidth / 0.75)

    def encode(self, x):
        assert x.shape[:2] == (1, 1) and not self.training
        self.sound = x
        return [(torch.zeros(1, self.codebooks, -(-x.shape[-1] // 320), dtype=torch.int64), None)]

    def decode(self, frames):
        ((codes, scale),) = frames
        assert scale is None and codes.shape[:2] == (1, self.codebooks)
        padding = codes.shape[2] * 320 - self.sound.shape[-1]
        return self.gain * torch.nn.functional.pad(self.sound, (0, padding))
"""
DAC = """
import torch

class DAC(torch.nn.Module):
    def __init__(self, codebook_size, sample_rate):
        super().__init__()
        self.codebook_size, self.sample_rate = codebook_size, sample_rate
        self.gain = torch.nn.Parameter(torch.zeros(1))

    @property
    def quantizer(self):
        return self

    def preprocess(self, x, sample_rate):
        assert sample_rate == self.sample_rate == 16000
        return torch.nn.functional.pad(x, (0, -x.shape[-1] % 320))

    def encode(self, x, n_quantizers):
        assert x.shape[:2] == (1, 1) and x.shape[2] % 320 == 0 and not self.training
        assert 1 <= n_quantizers <= 12
        self.sound = x
        codes = torch.zeros(1, n_quantizers, x.shape[2] // 320, dtype=torch.int64)
        return x, codes, x, torch.zeros(()), torch.zeros(())

    def from_codes(self, codes):
        assert codes.shape[0] == 1 and codes.shape[2] * 320 == self.sound.shape[2]
        return self.sound, None, codes

    def decode(self, z):
        return self.gain * z
"""
LYRA = """#!{python}
import sys
import wave
from pathlib import Path

flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
folder, packet = Path(flags["output_dir"]), int(flags["bitrate"]) // 400
assert flags["bitrate"] in ("3200", "6000", "9200")
assert (Path(flags["model_path"]) / "lyragan.tflite").exists()
if "{program}" == "encoder_main":
    source = Path(flags["input_path"])
    with wave.open(str(source)) as file:
        assert file.getparams()[:3] == (1, 2, 16000)
        pcm = file.readframes(file.getnframes())
    packets = len(pcm) // 640
    (folder / (source.stem + ".lyra")).write_bytes(bytes(packets * packet))
    (folder / "beside").write_bytes(pcm[: packets * 640])
else:
    source = Path(flags["encoded_path"])
    pcm = bytes(2 * {delay}) + (folder / "beside").read_bytes()
    assert source.stat().st_size == len(pcm[2 * {delay} :]) // 640 * packet
    with wave.open(str(folder / (source.stem + "_decoded.wav")), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(pcm[: len(pcm) - 2 * {delay}])
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with both packages, and no weights."""
    for name, text in (("encodec", ENCODEC), ("dac", DAC)):
        (tmp_path / f"{name}.py").write_text(text)
        # Put back what was there, or nothing, after the test.
        monkeypatch.setitem(sys.modules, name, sys)
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def _save(peer: str, weights: object) -> None:
    path = PEERS[peer].weights()  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


def _lyra(folder: Path, delay: int = 0) -> None:
    (folder / "model_coeffs").mkdir(parents=True)
    (folder / "model_coeffs" / "lyragan.tflite").touch()
    for program in ("encoder_main", "decoder_main"):
        (folder / program).write_text(LYRA.format(python=sys.executable, program=program, delay=delay))
        (folder / program).chmod(0o755)


def _matches(decoded: np.ndarray, audio: np.ndarray) -> bool:
    error = float(np.sum((decoded - audio) ** 2) / np.sum(audio**2))
    return decoded.shape == audio.shape and error < 1e-3


@pytest.mark.parametrize(("kbps", "codebooks"), [(1.5, 2), (6.0, 8), (12.0, 16)])
def test_encodec_gets_24_khz_and_all_its_codes_are_counted(
    packages: Path, tmp_path: Path, kbps: float, codebooks: int
) -> None:
    _save("encodec", {"gain": torch.ones(1)})
    audio = syllables(1.01)
    trip = peer_round_trip(PEERS["encodec"], Clip("speech", audio, SAMPLE_RATE), kbps, tmp_path)
    assert _matches(trip.decoded, audio)
    assert trip.payload_bytes == trip.file_bytes == 76 * codebooks * 10 // 8


def test_dac_takes_a_rate_as_a_number_of_codebooks(packages: Path, tmp_path: Path) -> None:
    _save("dac", {"metadata": {"kwargs": DAC_OPTIONS}, "state_dict": {"gain": torch.ones(1)}})
    left = syllables(1.01, 44_100)
    stereo = np.stack([left, syllables(1.01, 44_100, pitch=180.0)], axis=1)
    trip = peer_round_trip(PEERS["dac"], Clip("stereo", stereo, 44_100), 2.5, tmp_path)
    assert trip.decoded.shape == stereo.shape
    # 51 frames of 20 ms, 5 codes of 10 bits in each, and two channels, each in whole bytes.
    assert trip.payload_bytes == 2 * -(-51 * 5 * 10 // 8)
    assert PEERS["dac"].rates_for([1.5, 2.6, 9.0]) == [1.5, 2.5, 6.0]
    mono = syllables(1.01)
    assert _matches(peer_round_trip(PEERS["dac"], Clip("mono", mono, 16_000), 6.0, tmp_path).decoded, mono)


DAC_OPTIONS = {"codebook_size": 1024, "sample_rate": 16_000}


def test_weights_are_not_downloaded_but_asked_for(packages: Path) -> None:
    told: list[str] = []
    assert peer_settings(["encodec", "dac"], [6.0], told.append) == []
    assert told[0].startswith(f"encodec is not measured: there are no weights at {packages / 'torch'}")
    assert "none are downloaded here: python -c 'import encodec;" in told[0]
    assert told[1].startswith(f"dac is not measured: there are no weights at {packages / '.cache'}")
    assert told[1].endswith("python -m dac download --model_type 16khz")
    _save("encodec", {"gain": torch.ones(1)})
    assert [setting.label for setting in peer_settings(["encodec"], [1.5, 9.0, 24.0], told.append)] == [
        "encodec 1.5 kbit/s",
        "encodec 6 kbit/s",
        "encodec 12 kbit/s",
    ]


def test_a_package_that_is_not_there_is_named(packages: Path) -> None:
    (packages / "encodec.py").write_text("import something_else_that_is_missing")
    assert "pip install encodec" in str(PEERS["encodec"].missing())
    assert "something_else_that_is_missing" in str(PEERS["encodec"].missing())


@pytest.mark.parametrize("weights", [{"other": torch.ones(1)}, {"gain": torch.ones(2)}, {"gain": Path()}])
def test_weights_that_do_not_fit_are_told_in_a_sentence(
    packages: Path, tmp_path: Path, weights: object
) -> None:
    _save("encodec", weights)
    with pytest.raises(CodecError, match=r"cannot be loaded \(.*\): python -c"):
        peer_round_trip(PEERS["encodec"], Clip("one", syllables(0.5), SAMPLE_RATE), 3.0, tmp_path)


@pytest.mark.parametrize("kbps", [3.2, 6.0, 9.2])
def test_lyra_is_called_with_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kbps: float) -> None:
    _lyra(tmp_path / "lyra")
    monkeypatch.setenv("LYRA_HOME", str(tmp_path / "lyra"))
    assert PEERS["lyra"].missing() is None
    audio = syllables(1.01)  # half a packet at the end, which is filled up
    trip = peer_round_trip(PEERS["lyra"], Clip("speech", audio, SAMPLE_RATE), kbps, tmp_path)
    assert _matches(trip.decoded, audio)
    assert trip.payload_bytes == trip.file_bytes == 51 * round(1000 * kbps) // 400


def test_what_comes_late_is_put_back_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _lyra(tmp_path / "lyra", delay=100)
    monkeypatch.setenv("LYRA_HOME", str(tmp_path / "lyra"))
    audio = syllables(1.0)
    clip = Clip("speech", audio, SAMPLE_RATE)
    late = peer_round_trip(PEERS["lyra"], clip, 6.0, tmp_path)
    in_time = peer_round_trip(replace(PEERS["lyra"], delay=100), clip, 6.0, tmp_path)
    assert not _matches(late.decoded, audio)
    assert _matches(in_time.decoded, audio)


def test_lyra_is_looked_for_on_the_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LYRA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "lyra"))
    told: list[str] = []
    assert peer_settings(["lyra"], [6.0], told.append) == []
    assert told[0].startswith(
        "lyra is not measured: encoder_main and decoder_main and model_coeffs of Lyra v2"
    )
    assert "set LYRA_HOME to the folder" in told[0]
    _lyra(tmp_path / "lyra")
    assert [setting.bitrate for setting in peer_settings(["lyra"], [1.5, 6.0, 9.0], told.append)] == [
        3.2,
        6,
        9.2,
    ]
    (tmp_path / "lyra" / "model_coeffs" / "lyragan.tflite").unlink()
    (tmp_path / "lyra" / "model_coeffs").rmdir()
    assert str(PEERS["lyra"].missing()).startswith("model_coeffs of Lyra v2 not found")
