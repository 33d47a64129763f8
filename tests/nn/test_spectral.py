"""The spectral network: steps equal the whole, causality, and the transform codec it starts as."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from codec.config import CodecConfig, SpectralConfig
from codec.model import CodecModel
from codec.nn.network import build_networks
from tests.nn.networks import spectral
from tests.nn.streams import close, in_steps, noise, partitions

FRAMES, HOP = 19, 32
OVERLAPS = [16, 32]


def networks(overlap: int) -> tuple[nn.Module, nn.Module]:
    """Both sides with random values in every parameter: at their start the stacks hardly matter."""
    torch.manual_seed(0)
    encoder, decoder = build_networks(spectral(overlap))
    for network in (encoder, decoder):
        for parameter in network.requires_grad_(False).parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder, decoder


@settings(max_examples=40)
@given(st.sampled_from(OVERLAPS), partitions(FRAMES))
def test_steps_equal_the_whole(overlap: int, sizes: list[int]) -> None:
    encoder, decoder = networks(overlap)
    audio, z = noise(2, FRAMES * HOP), noise(2, 16, FRAMES)

    def encode(x: Tensor, state: object, valid: int) -> tuple[Tensor, object]:
        latents, state = encoder.step(x, state, valid)  # type: ignore[operator]
        return latents.transpose(1, 2), state

    def decode(rows: Tensor, state: object, valid: int) -> tuple[Tensor, object]:
        return decoder.step(rows.transpose(1, 2), state, valid)  # type: ignore[operator, no-any-return]

    rows, _ = in_steps(encode, encoder.start(2), audio, sizes, rows_in=HOP)  # type: ignore[operator]
    close(rows.transpose(1, 2), encoder(audio))
    sound, _ = in_steps(decode, decoder.start(2), z.transpose(1, 2), sizes, rows_out=HOP)  # type: ignore[operator]
    close(sound, decoder(z))


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_neither_side_looks_ahead(overlap: int) -> None:
    encoder, decoder = networks(overlap)
    audio, z = noise(1, FRAMES * HOP), noise(1, 16, FRAMES)
    later_audio, later_z = audio.clone(), z.clone()
    later_audio[:, 10 * HOP :] += 1.0
    later_z[:, :, 10:] += 1.0
    assert torch.equal(encoder(audio)[..., :10], encoder(later_audio)[..., :10])
    assert torch.equal(decoder(z)[..., : 10 * HOP], decoder(later_z)[..., : 10 * HOP])
    assert not torch.equal(encoder(audio)[..., 10], encoder(later_audio)[..., 10])
    assert not torch.equal(decoder(z)[..., 10 * HOP :], decoder(later_z)[..., 10 * HOP :])


@pytest.mark.parametrize("overlap", [160, 320])
def test_an_untrained_codec_passes_the_low_band_in_its_place(overlap: int) -> None:
    torch.manual_seed(0)
    config = CodecConfig(name="fresh", network=SpectralConfig(width=32, blocks=2, overlap=overlap))
    # Noise below 2 kHz, which lies in the 128 lowest of 320 bins.
    spectrum = torch.fft.rfft(noise(1, 16_000))
    spectrum[:, 2000:] = 0.0
    audio = 0.1 * torch.fft.irfft(spectrum)
    output, quantized = CodecModel(config)(audio, quantize=False)
    assert quantized is None
    assert output.shape == audio.shape
    correlation = torch.fft.irfft(torch.fft.rfft(output.detach()).conj() * torch.fft.rfft(audio))[0]
    assert int(correlation.argmax()) == 0
    norms = output.detach().norm() * audio.norm()
    assert float(correlation[0] / norms) > 0.5


def test_extreme_latents_and_audio_stay_finite() -> None:
    encoder, decoder = networks(32)
    assert torch.isfinite(decoder(1e4 * noise(1, 16, FRAMES))).all()
    for level in (0.0, 1e-30, 1.0, 1e6):
        assert torch.isfinite(encoder(level * noise(1, FRAMES * HOP))).all(), level


def test_outputs_stay_float32_under_autocast() -> None:
    encoder, decoder = networks(32)
    with torch.autocast("cpu", torch.bfloat16):
        z = encoder(noise(1, 10 * HOP))
        audio = decoder(z)
    assert z.dtype == audio.dtype == torch.float32


def test_gradients_reach_every_parameter_in_silence_too() -> None:
    torch.manual_seed(0)
    model = CodecModel(spectral())
    for audio in (0.1 * noise(2, 20 * HOP), torch.zeros(2, 20 * HOP)):
        model.zero_grad(set_to_none=True)
        output, _ = model(audio, quantize=False)
        (output - noise(2, 20 * HOP, seed=1)).abs().mean().backward()
        for name, parameter in model.named_parameters():
            if not name.startswith("bottleneck"):
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name
