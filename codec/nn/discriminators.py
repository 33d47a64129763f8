"""The multi-scale discriminator: waveforms as in SoundStream, complex spectra as in EnCodec, periods as in
HiFi-GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from codec.errors import CodecError

_SLOPE = 0.2
_WAVEFORM_STAGES = 4
_DILATIONS = (1, 2, 4)
_PERIOD_STAGES = 3


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the discriminator.

    waveform_scales: waveform discriminators, each at half the rate of the one before; 0 for none.
    waveform_channels: channels of their first layer; each stage has 4 times as many, up to the maximum.
    stft_windows: windows in samples of the spectral discriminators, with a hop of a quarter; empty for none.
    stft_channels: channels of all hidden layers of those.
    periods: in samples, of the period discriminators; empty for none. HiFi-GAN has 2, 3, 5, 7 and 11.
    period_channels: channels of their first layer, 4 times as many in those behind it.

    MelGAN has 16 and 1024 channels, EnCodec 32, HiFi-GAN 32 and 1024; the defaults are what a few CPU cores
    can train.
    """

    waveform_scales: int = 3
    waveform_channels: int = 8
    waveform_max_channels: int = 64
    stft_windows: tuple[int, ...] = (1024, 512, 256)
    stft_channels: int = 8
    periods: tuple[int, ...] = ()
    period_channels: int = 8

    def __post_init__(self) -> None:
        """Raise CodecError where the sizes allow no discriminator."""
        if self.waveform_scales < 0 or not (self.waveform_scales or self.stft_windows or self.periods):
            raise CodecError(
                "the discriminator needs a positive waveform_scales or an entry in stft_windows or periods"
            )
        if self.waveform_channels < 4 or self.waveform_channels % 4:
            raise CodecError(f"waveform_channels must be a multiple of 4, not {self.waveform_channels}")
        if self.waveform_max_channels < 4 or self.waveform_max_channels % self.waveform_channels:
            raise CodecError("waveform_max_channels must be a multiple of waveform_channels")
        if any(window < 16 or window % 4 for window in self.stft_windows):
            raise CodecError("every entry of stft_windows must be a multiple of 4 and at least 16")
        if self.stft_channels < 1:
            raise CodecError(f"stft_channels must be positive, not {self.stft_channels}")
        if any(period < 1 for period in self.periods) or self.period_channels < 1:
            raise CodecError("every entry of periods, and period_channels, must be positive")


class ScaleOutput(NamedTuple):
    """What one scale says of a batch.

    logits: [B, 1, ...], one for each patch of time (and frequency), high for real audio.
    features: the outputs of the hidden layers, first layer first, each [B, channels, ...].
    """

    logits: Tensor
    features: list[Tensor]


class WaveformDiscriminator(nn.Module):
    """One waveform scale: strided grouped convolutions (MelGAN, Kumar et al. 2019, and SoundStream).

    Total stride 256, receptive field 4951 samples at the rate of the scale.
    """

    def __init__(self, channels: int, max_channels: int) -> None:
        """Start with `channels` and multiply them by 4 at each stage, up to `max_channels`."""
        super().__init__()
        layers = [weight_norm(nn.Conv1d(1, channels, 15, padding=7))]
        for _ in range(_WAVEFORM_STAGES):
            wider, groups = min(channels * 4, max_channels), channels // 4
            layers.append(weight_norm(nn.Conv1d(channels, wider, 41, stride=4, padding=20, groups=groups)))
            channels = wider
        layers.append(weight_norm(nn.Conv1d(channels, channels, 5, padding=2)))
        self.hidden = nn.ModuleList(layers)
        self.last = weight_norm(nn.Conv1d(channels, 1, 3, padding=1))

    def forward(self, x: Tensor) -> ScaleOutput:
        """Judge waveforms [B, T], T > 0: logits [B, 1, ceil(T / 256)]."""
        return _judge(x.unsqueeze(1), self.hidden, self.last)


class StftDiscriminator(nn.Module):
    """One spectral scale: 2-D convolutions over the complex STFT (EnCodec, Défossez et al. 2022).

    Frequency is halved by each dilated layer, time is not; dilations 1, 2 and 4 are along time.
    """

    def __init__(self, window: int, channels: int) -> None:
        """Use a Hann window of `window` samples, a hop of a quarter, and `channels` in every hidden layer."""
        super().__init__()
        hann = torch.hann_window(window)
        # Unit energy, so that a spectrum's level does not depend on the window's length.
        self.register_buffer("window", hann / hann.square().sum().sqrt(), persistent=False)
        layers = [weight_norm(nn.Conv2d(2, channels, (3, 9), padding=(1, 4)))]
        for dilation in _DILATIONS:
            convolution = nn.Conv2d(
                channels, channels, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4)
            )
            layers.append(weight_norm(convolution))
        layers.append(weight_norm(nn.Conv2d(channels, channels, 3, padding=1)))
        self.hidden = nn.ModuleList(layers)
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, x: Tensor) -> ScaleOutput:
        """Judge waveforms [B, T], T > 0: logits [B, 1, 1 + T // hop, ceil((window / 2 + 1) / 8)]."""
        window = self.get_buffer("window")
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.stft(
                x.float(),
                len(window),
                hop_length=len(window) // 4,
                window=window,
                center=True,
                pad_mode="constant",  # reflection would refuse audio shorter than half a window
                return_complex=True,
            )
        # Real and imaginary part become channels; in memory they lie side by side already (channels last).
        return _judge(torch.view_as_real(spectrum).permute(0, 3, 2, 1), self.hidden, self.last)


class PeriodDiscriminator(nn.Module):
    """One period: the waveform written in rows of ``period`` samples, each column judged by itself.

    Samples that lie a pitch period apart thus become neighbours (HiFi-GAN, Kong et al. 2020; here with
    zeros where rows end early, one width behind the first layer, and the slope of the other scales).
    """

    def __init__(self, period: int, channels: int) -> None:
        """Start with `channels` and go on with 4 times as many."""
        super().__init__()
        self.period = period
        wide = 4 * channels
        layers = [_along_time(1, channels, 5, stride=3)]
        for _ in range(_PERIOD_STAGES):
            layers.append(_along_time(channels, wide, 5, stride=3))
            channels = wide
        layers.append(_along_time(wide, wide, 5))
        self.hidden = nn.ModuleList(layers)
        self.last = _along_time(wide, 1, 3)

    def forward(self, x: Tensor) -> ScaleOutput:
        """Judge waveforms [B, T], T > 0: logits [B, 1, ceil(T / (81 period)), period]."""
        rows = F.pad(x, (0, -x.shape[1] % self.period))
        return _judge(rows.view(len(x), 1, -1, self.period), self.hidden, self.last)


class MultiScaleDiscriminator(nn.Module):
    """All waveform and spectral scales, and all periods, of a configuration."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        """Build the scales with random weights."""
        super().__init__()
        self.waveform = nn.ModuleList(
            WaveformDiscriminator(config.waveform_channels, config.waveform_max_channels)
            for _ in range(config.waveform_scales)
        )
        self.stft = nn.ModuleList(
            StftDiscriminator(window, config.stft_channels) for window in config.stft_windows
        )
        self.periods = nn.ModuleList(
            PeriodDiscriminator(period, config.period_channels) for period in config.periods
        )

    def forward(self, x: Tensor) -> list[ScaleOutput]:
        """Judge waveforms [B, T]: one output a scale, first the waveform scales, each at half the rate, then
        the spectral ones, then the periods.

        T has to be at least 2 ** waveform_scales samples.
        """
        outputs, pooled = [], x
        for index, scale in enumerate(self.waveform):
            if index:
                pooled = F.avg_pool1d(pooled, 4, stride=2, padding=1, count_include_pad=False)
            outputs.append(scale(pooled))
        return outputs + [scale(x) for scale in (*self.stft, *self.periods)]


def _along_time(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Module:
    """A convolution of [B, C, rows, columns] that leaves the columns apart."""
    convolution = nn.Conv2d(channels, out_channels, (kernel, 1), (stride, 1), (kernel // 2, 0))
    normalized: nn.Module = weight_norm(convolution)
    return normalized


def _judge(x: Tensor, hidden: nn.ModuleList, last: nn.Module) -> ScaleOutput:
    features = []
    for layer in hidden:
        # In place: nothing needs the convolution's own output, and these maps are most of the memory.
        x = F.leaky_relu(layer(x), _SLOPE, inplace=True)
        features.append(x)
    return ScaleOutput(last(x), features)
