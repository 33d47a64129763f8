"""The MDCT is orthonormal, reconstructs perfectly, and its steps equal the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from codec.config import CodecConfig, SpectralConfig
from codec.errors import CodecError
from codec.nn.mdct import Mdct, mdct_window
from tests.nn.streams import close, in_steps, noise, partitions

SIZES = [(320, 320), (320, 160), (320, 2), (240, 80), (16, 16), (15, 15), (15, 5), (8, 4), (1, 1)]


@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_the_transform_is_orthonormal(hop: int, overlap: int) -> None:
    basis = Mdct(hop, overlap).basis.double()
    torch.testing.assert_close(basis.t() @ basis, torch.eye(hop).double(), rtol=0, atol=1e-6)
    # A frame and the next share `overlap` samples, in which they have nothing in common.
    lapped = basis[hop:].t() @ basis[:overlap]
    torch.testing.assert_close(lapped, torch.zeros(hop, hop).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_the_inverse_gives_the_audio_back_delayed(hop: int, overlap: int) -> None:
    mdct, audio = Mdct(hop, overlap), noise(2, 7 * hop)
    restored = mdct.inverse(mdct(audio))
    assert restored.shape == audio.shape
    torch.testing.assert_close(restored[:, mdct.delay :], audio[:, : 7 * hop - mdct.delay], rtol=0, atol=1e-5)
    torch.testing.assert_close(restored[:, : mdct.delay], torch.zeros(2, mdct.delay), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("hop", "overlap"), SIZES)
def test_energy_is_kept(hop: int, overlap: int) -> None:
    audio = noise(1, 6 * hop)
    audio[:, -overlap:] = 0.0  # so that no sample lies in a frame that has not come yet
    close(Mdct(hop, overlap)(audio).square().sum(), audio.square().sum())


@pytest.mark.parametrize(("hop", "overlap"), [(320, 320), (320, 160)])
@pytest.mark.parametrize("index", [3, 100, 310])
def test_a_tone_lies_in_the_bin_of_its_frequency(hop: int, overlap: int, index: int) -> None:
    # Bin k is centred on (k + 1/2) / (2 hop) of the sample rate.
    phase = torch.pi * (index + 0.5) / hop * torch.arange(20 * hop, dtype=torch.float64)
    energy = Mdct(hop, overlap)(torch.sin(phase).float().unsqueeze(0))[0, 1:].square().mean(dim=0)
    assert int(energy.argmax()) == index
    assert energy[max(index - 4, 0) : index + 5].sum() > 0.98 * energy.sum()


@settings(max_examples=30)
@given(partitions(21))
def test_steps_equal_the_whole_both_ways(sizes: list[int]) -> None:
    mdct, audio = Mdct(24, 16), noise(2, 21 * 24)
    coefficients, _ = in_steps(mdct.step, mdct.start(2), audio, sizes, rows_in=24)
    close(coefficients, mdct(audio))
    restored, _ = in_steps(mdct.inverse_step, mdct.start(2), mdct(audio), sizes, rows_out=24)
    close(restored, mdct.inverse(mdct(audio)))


def test_a_frame_holds_no_later_sample() -> None:
    mdct, audio, changed = Mdct(24, 16), noise(1, 10 * 24), noise(1, 10 * 24)
    changed[:, 5 * 24 :] += 1.0
    assert torch.equal(mdct(audio)[:, :5], mdct(changed)[:, :5])
    assert not torch.equal(mdct(audio)[:, 5], mdct(changed)[:, 5])


def test_window_slopes_are_power_complementary() -> None:
    window = mdct_window(320, 96)
    assert window.shape == (416,)
    torch.testing.assert_close(window[:96] ** 2 + window[320:] ** 2, torch.ones(96).double())
    assert torch.equal(window[96:320], torch.ones(224).double())


@pytest.mark.parametrize(("hop", "overlap"), [(320, 321), (320, 101)])
def test_impossible_overlaps_are_refused(hop: int, overlap: int) -> None:
    with pytest.raises(CodecError, match=f"overlap of {overlap} samples"):
        CodecConfig("x", hop=hop, network=SpectralConfig(overlap=overlap))
