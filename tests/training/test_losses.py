"""What the reconstruction losses measure, and that their gradients are safe."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from codec.config import from_mapping, to_mapping
from codec.errors import CodecError
from codec.training.losses import LossConfig, ReconstructionLoss, mel_filters

RATE = 16_000
NAMES = ("waveform", "mel", "complex")


@pytest.fixture(scope="module")
def loss() -> ReconstructionLoss:
    return ReconstructionLoss(LossConfig(), RATE)


def noise(seed: int, length: int, level: float = 0.1, batch: int = 2) -> Tensor:
    return level * torch.randn(batch, length, generator=torch.Generator().manual_seed(seed))


def gradient(loss: ReconstructionLoss, name: str, target: Tensor, estimate: Tensor) -> Tensor:
    estimate = estimate.clone().requires_grad_()
    return torch.autograd.grad(loss(target, estimate)[name], estimate)[0]


def test_identical_signals_cost_nothing(loss: ReconstructionLoss) -> None:
    x = noise(0, 5000)
    assert all(value.item() == 0.0 for value in loss(x, x.clone()).values())


@pytest.mark.parametrize("length", [1, 100, 127, 1023, 4001])
@pytest.mark.parametrize("name", NAMES)
def test_any_length_gives_a_finite_gradient(loss: ReconstructionLoss, name: str, length: int) -> None:
    found = gradient(loss, name, noise(1, length), noise(2, length))
    assert found.isfinite().all()
    assert (found.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_finite_gradients(loss: ReconstructionLoss, name: str) -> None:
    silence, sound = torch.zeros(2, 3000), noise(3, 3000)
    for target, estimate in ((silence, silence), (sound, silence), (silence, sound)):
        found = gradient(loss, name, target, estimate)
        assert found.isfinite().all()
        # Nothing may outweigh the gradient of audible errors by orders of magnitude.
        assert found.norm() < 100 * gradient(loss, name, sound, noise(4, 3000)).norm()


@pytest.mark.parametrize("name", ["waveform", "complex"])
def test_a_silent_estimate_is_pushed_towards_sound(loss: ReconstructionLoss, name: str) -> None:
    target = noise(5, 3000)
    step = gradient(loss, name, target, torch.zeros_like(target))
    assert (step * target).sum() < 0


def test_waveform_is_the_mean_absolute_error(loss: ReconstructionLoss) -> None:
    assert loss(torch.zeros(1, 2000), torch.full((1, 2000), 0.25))["waveform"].item() == pytest.approx(0.25)


def test_mel_measures_level_in_nats(loss: ReconstructionLoss) -> None:
    x = noise(6, 16_000)
    assert loss(x, 0.5 * x)["mel"].item() == pytest.approx(np.log(2), abs=2e-3)


def test_mel_floor_hides_what_lies_below_it() -> None:
    quiet, quieter = noise(16, 8000, level=1e-4), noise(16, 8000, level=1e-5)

    def distance(floor: float) -> float:
        return ReconstructionLoss(LossConfig(mel_floor=floor), RATE)(quiet, quieter)["mel"].item()

    assert distance(1e-7) > 2.0
    assert distance(1e-2) < 0.05


def test_only_the_complex_loss_hears_the_polarity_of_a_spectrum(loss: ReconstructionLoss) -> None:
    x = noise(7, 8000)
    flipped = loss(x, -x)
    assert flipped["mel"].item() == pytest.approx(0.0, abs=1e-6)
    assert flipped["complex"].item() > 0.5


def test_complex_matches_its_formula() -> None:
    config = LossConfig(mel_windows=(256,), mel_bins=(16,), complex_windows=(256,), complex_power=0.5)
    x, y = noise(8, 1000, batch=1), noise(9, 1000, batch=1)
    window = np.hanning(257)[:-1]

    def compressed(audio: Tensor) -> np.ndarray:
        padded = np.pad(audio[0].double().numpy(), 128)
        frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::64]
        spectrum = np.fft.rfft(frames * window / np.sqrt((window**2).sum()))
        return spectrum * (np.abs(spectrum) + 1e-3) ** -0.5

    error = compressed(x) - compressed(y)
    expected = (np.abs(error.real).mean() + np.abs(error.imag).mean()) / 2
    assert ReconstructionLoss(config, RATE)(x, y)["complex"].item() == pytest.approx(expected, rel=1e-4)


def test_peaks_cost_what_lies_above_those_of_the_original() -> None:
    measure = ReconstructionLoss(LossConfig(peak_weight=2.0), RATE)
    assert measure.weights()["peak"] == 2.0
    target = torch.full((2, 4000), 0.05)
    target[:, 7] = -0.5
    louder = target.clone()
    assert measure(target, 1.25 * target)["peak"].item() == 0.0
    # Two samples of one of two signals, twice and three times as high as 2 dB above the peak.
    limit = 0.5 * 10**0.1 + 1e-4
    louder[1, 20], louder[1, 3000] = 2.0 * limit, -3.0 * limit
    assert measure(target, louder)["peak"].item() == pytest.approx(5.0**0.5 * limit / 2, rel=1e-4)
    found = gradient(measure, "peak", target, louder)
    assert found.nonzero().tolist() == [[1, 20], [1, 3000]]
    assert found[1, 20] > 0 > found[1, 3000]
    silence = torch.zeros(1, 100)
    assert gradient(measure, "peak", silence, silence).isfinite().all()


def test_compression_makes_quiet_errors_count() -> None:
    loud, quiet = noise(10, 8000), noise(11, 8000, level=1e-3)

    def share_of_quiet(power: float) -> float:
        measure = ReconstructionLoss(LossConfig(complex_power=power), RATE)
        lost_quiet = measure(quiet, torch.zeros_like(quiet))["complex"]
        return (lost_quiet / measure(loud, torch.zeros_like(loud))["complex"]).item()

    assert share_of_quiet(0.3) > 10 * share_of_quiet(1.0)


def test_losses_are_float32_under_autocast(loss: ReconstructionLoss) -> None:
    target, estimate = noise(12, 4000), noise(13, 4000)
    expected = loss(target, estimate)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(target, estimate)
    for name in NAMES:
        assert found[name].dtype == torch.float32
        assert found[name].item() == expected[name].item()


def test_the_target_gets_no_gradient(loss: ReconstructionLoss) -> None:
    target, estimate = noise(14, 2000).requires_grad_(), noise(15, 2000).requires_grad_()
    sum(loss(target, estimate).values()).backward()
    assert target.grad is None
    assert estimate.grad is not None


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 48_000])
def test_mel_filters_are_those_of_librosa(rate: int) -> None:
    config = LossConfig()
    for window, bins in zip(config.mel_windows, config.mel_bins, strict=True):
        reference = librosa.filters.mel(sr=rate, n_fft=window, n_mels=bins, htk=True, norm=None).T
        found = mel_filters(window, bins, rate).numpy()
        np.testing.assert_allclose(found, reference / reference.sum(axis=0), atol=2e-5)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_too_many_mel_bins_are_refused() -> None:
    with pytest.raises(CodecError, match="80 mel bins"):
        ReconstructionLoss(LossConfig(mel_windows=(128,), mel_bins=(80,), complex_windows=(128,)), RATE)


def test_weights_are_those_of_the_configuration() -> None:
    config = LossConfig(waveform_weight=0.5, mel_weight=2.0, complex_weight=4.0)
    assert ReconstructionLoss(config, RATE).weights() == {"waveform": 0.5, "mel": 2.0, "complex": 4.0}


def test_configuration_survives_yaml() -> None:
    config = LossConfig(mel_windows=(512,), mel_bins=(20,), complex_windows=(512,))
    assert from_mapping(LossConfig, to_mapping(config), "test") == config


@pytest.mark.parametrize(
    "values",
    [
        {"mel_bins": [80]},
        {"mel_windows": [], "mel_bins": []},
        {"mel_windows": [510], "mel_bins": [20], "complex_windows": [510]},
        {"complex_windows": [4096]},
        {"complex_windows": []},
        {"complex_power": 0.0},
        {"mel_floor": 0.0},
        {"mel_weight": -1.0},
        {"peak_weight": -1.0},
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="losses"):
        from_mapping(LossConfig, values, "losses")


def test_shapes_must_agree(loss: ReconstructionLoss) -> None:
    for target, estimate in ((noise(0, 10), noise(0, 11)), (noise(0, 0), noise(0, 0)), (noise(0, 9)[0],) * 2):
        with pytest.raises(ValueError, match="equal shapes"):
            loss(target, estimate)
