"""Reconstruction losses of the codec: waveform, multi-scale log mel, compressed complex spectra, peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.errors import CodecError

# Where the power law turns linear. Its slope lets the noise in pauses, which no codec can predict, send most
# of the gradient: in speech, at power 0.3, bins below 1e-4 send 54 % of its energy with 1e-4, 31 % with 1e-3.
COMPRESSION_FLOOR = 1e-3

# How far a decoded signal may rise above the original's peak before that costs: 2 dB, and what nobody hears.
_PEAK_MARGIN = 10.0 ** (2.0 / 20.0)
_PEAK_FLOOR = 1e-4


@dataclass(frozen=True)
class LossConfig:
    """Weights and resolutions of the reconstruction losses.

    mel_windows: STFT windows in samples, each with a hop of a quarter and the `mel_bins` at the same index.
    mel_floor: added to mel magnitudes before the logarithm, so that silence has one. Magnitudes are in
    units of the rms of the white noise that would cause them: 1e-5 is the rounding noise of 16 bits.
    complex_windows: the windows, out of `mel_windows`, that serve the complex loss as well.
    complex_power: exponent that compresses the magnitudes of the complex loss, 1 for none.
    peak_weight: of what rises above the original's peak; without it that is not looked at.
    """

    waveform_weight: float = 0.1
    mel_weight: float = 1.0
    complex_weight: float = 3.0
    mel_windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    mel_bins: tuple[int, ...] = (80, 64, 40, 20, 10)
    mel_floor: float = 1e-5
    complex_windows: tuple[int, ...] = (1024, 512, 256)
    complex_power: float = 0.3
    peak_weight: float = 0.0

    def __post_init__(self) -> None:
        """Raise CodecError where the values do not fit together."""
        if min(self.waveform_weight, self.mel_weight, self.complex_weight, self.peak_weight) < 0:
            raise CodecError("the weights of the losses must not be negative")
        if not self.mel_windows or len(self.mel_windows) != len(self.mel_bins):
            raise CodecError("mel_windows and mel_bins of the losses need one entry each per resolution")
        if min(self.mel_windows) < 4 or any(window % 4 for window in self.mel_windows):
            raise CodecError("every entry of mel_windows must be a positive multiple of 4")
        if not self.complex_windows or not set(self.complex_windows) <= set(self.mel_windows):
            raise CodecError("complex_windows of the losses must be some of mel_windows")
        if self.mel_floor <= 0:
            raise CodecError("mel_floor of the losses must be positive")
        if not 0 < self.complex_power <= 1:
            raise CodecError("complex_power of the losses must be above 0 and at most 1")


class ReconstructionLoss(nn.Module):
    """How far a decoded signal is from the original, as scalars, each the mean over all it compares.

    "waveform": L1 of the samples.
    "mel": L1 of natural log mel magnitudes, mean over the windows: the log part of SoundStream's multi-scale
    spectral loss (Zeghidour et al. 2021, eq. 5). Its linear part would repeat what the complex loss says.
    "complex": L1 of real and imaginary parts of X |X|^(p - 1), mean over the windows. The power keeps quiet
    parts audible (compressed spectra as in Braun and Tashev, "A consolidated view of loss functions", 2021).
    "peak", where it has a weight: L2 norm of what rises more than 2 dB above the peak of the original, the
    mean over the signals. It grows with the level, as the losses beside it do, and no single signal, however
    far off, sends a larger gradient than another.

    Always computed in float32, under autocast too. Gradients are finite everywhere, digital silence included.
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        """Build windows and mel filters for `sample_rate` Hz; CodecError where a mel band would be empty."""
        super().__init__()
        self.config = config
        for window, bins in zip(config.mel_windows, config.mel_bins, strict=True):
            hann = torch.hann_window(window)
            # Scaled to unit energy, so that a spectrum's level does not depend on the window's length.
            self.register_buffer(f"window_{window}", hann / hann.square().sum().sqrt(), persistent=False)
            self.register_buffer(f"mel_{window}", mel_filters(window, bins, sample_rate), persistent=False)

    def weights(self) -> dict[str, float]:
        """The configured weight of each entry that `forward` returns."""
        config = self.config
        weights = {
            "waveform": config.waveform_weight,
            "mel": config.mel_weight,
            "complex": config.complex_weight,
        }
        return weights | {"peak": config.peak_weight} if config.peak_weight else weights

    def forward(self, target: Tensor, estimate: Tensor) -> dict[str, Tensor]:
        """Compare `estimate` [B, T] with `target` [B, T] at any T > 0: unweighted scalars by name.

        Gradients flow to `estimate` only. Raises ValueError where the shapes differ or hold nothing.
        """
        if target.shape != estimate.shape or target.dim() != 2 or not target.numel():
            raise ValueError(f"expected two equal shapes [B, T], got {target.shape} and {estimate.shape}")
        with torch.autocast(target.device.type, enabled=False):
            target, estimate = target.detach().float(), estimate.float()
            mel, complex_ = [], []
            for window in self.config.mel_windows:
                # Two transforms rather than one of both: backward then skips the half that needs no gradient.
                original, decoded = self._spectrum(target, window), self._spectrum(estimate, window)
                # Shared by both losses, since the pointwise work costs more than the transforms.
                magnitudes = original.abs(), decoded.abs()
                mel_error = self._log_mel(magnitudes[0], window) - self._log_mel(magnitudes[1], window)
                mel.append(mel_error.abs().mean())
                if window in self.config.complex_windows:
                    error = self._compress(original, magnitudes[0]) - self._compress(decoded, magnitudes[1])
                    complex_.append(torch.view_as_real(error).abs().mean())
            losses = {
                "waveform": (target - estimate).abs().mean(),
                "mel": torch.stack(mel).mean(),
                "complex": torch.stack(complex_).mean(),
            }
            return losses | {"peak": excess(target, estimate)} if self.config.peak_weight else losses

    def _spectrum(self, audio: Tensor, window: int) -> Tensor:
        """audio [B, T] -> complex [B, window / 2 + 1, frames]."""
        return torch.stft(
            audio,
            window,
            hop_length=window // 4,
            window=self.get_buffer(f"window_{window}"),
            center=True,
            pad_mode="constant",  # reflection would refuse audio shorter than half a window
            return_complex=True,
        )

    def _log_mel(self, magnitude: Tensor, window: int) -> Tensor:
        """magnitude [B, window / 2 + 1, frames] -> [B, frames, bins]."""
        return torch.log(magnitude.transpose(1, 2) @ self.get_buffer(f"mel_{window}") + self.config.mel_floor)

    def _compress(self, spectrum: Tensor, magnitude: Tensor) -> Tensor:
        """The complex spectrum with its magnitudes raised to `complex_power` and its phases kept."""
        return spectrum * (magnitude + COMPRESSION_FLOOR).pow(self.config.complex_power - 1)


def excess(target: Tensor, estimate: Tensor) -> Tensor:
    """The loss "peak" of `ReconstructionLoss`, of signals [B, T]."""
    limit = _PEAK_MARGIN * target.abs().amax(dim=1, keepdim=True) + _PEAK_FLOOR
    norms: Tensor = torch.linalg.vector_norm((estimate.abs() - limit).clamp_min(0.0), dim=1)
    return norms.mean()


def mel_filters(window: int, bins: int, sample_rate: int) -> Tensor:
    """Triangular filters on the HTK mel scale, 0 Hz to half of `sample_rate`: [window / 2 + 1, bins].

    Each filter sums to 1, so that a band is the mean magnitude of its bins at every resolution.
    Raises CodecError where a band is so narrow that it holds no bin.
    """
    top = 2595.0 * math.log10(1.0 + sample_rate / 2 / 700.0)
    mel = torch.linspace(0.0, top, bins + 2, dtype=torch.float64)
    corners = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    frequencies = torch.linspace(0.0, sample_rate / 2, window // 2 + 1, dtype=torch.float64).unsqueeze(1)
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    filters = torch.minimum(rising, falling).clamp(min=0.0).float()
    total = filters.sum(0)
    if not bool((total > 0).all()):
        raise CodecError(f"{bins} mel bins are too many for a window of {window} samples at {sample_rate} Hz")
    return filters / total
