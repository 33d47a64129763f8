"""SEANet: the published layouts, steps equal the whole, causality, and what each setting changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from codec.config import CodecConfig, from_mapping, read_yaml
from codec.errors import CodecError
from codec.nn.convolution import add_weight_norm, fold_weight_norm
from codec.nn.network import build_networks
from tests.nn.networks import SOUNDSTREAM, seanet
from tests.nn.streams import close, in_steps, noise, partitions

RECIPES = Path(__file__).parents[2] / "recipes"
FRAMES = 19
TINY = {"lstm": seanet(), "soundstream": SOUNDSTREAM}


def recipe(name: str) -> CodecConfig:
    path = RECIPES / name / "config.yaml"
    return from_mapping(CodecConfig, read_yaml(path)["model"], str(path))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def networks(config: CodecConfig) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    encoder, decoder = build_networks(config)
    return encoder.requires_grad_(False), decoder.requires_grad_(False)


def test_the_encodec_layout_has_its_published_size() -> None:
    for network in build_networks(recipe("encodec_24k")):
        # Published with the lengths of weight normalization; they are a thirtieth of a percent.
        assert count(network) == pytest.approx(7.43e6, rel=0.02)
        add_weight_norm(network)
        assert round(count(network) / 1e6, 2) == 7.43
        fold_weight_norm(network)
        assert round(count(network) / 1e6, 2) == 7.42


def test_the_encodec_layout_has_the_published_convolutions() -> None:
    encoder, decoder = build_networks(recipe("encodec_24k"))
    shapes = [tuple(p.shape) for name, p in encoder.named_parameters() if name.endswith("weight")]
    stage = [(16, 3, 32), (32, 1, 16), (32, 1, 32), (64, 4, 32)]
    assert shapes[:5] == [(32, 7, 1), *stage]
    assert shapes[-2:] == [(512, 16, 256), (128, 7, 512)]
    shapes = [tuple(p.shape) for name, p in decoder.named_parameters() if name.endswith("weight")]
    assert shapes[:2] == [(512, 7, 128), (512, 16, 256)]
    assert shapes[-1] == (1, 7, 32)
    for network in (encoder, decoder):
        (lstm,) = (module for module in network.modules() if isinstance(module, nn.LSTM))
        assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (512, 512, 2)


def test_the_soundstream_layout_has_no_lstm_and_adds_to_its_input() -> None:
    encoder, decoder = build_networks(recipe("soundstream_24k"))
    assert not [m for network in (encoder, decoder) for m in network.modules() if isinstance(m, nn.LSTM)]
    shapes = [tuple(p.shape) for name, p in encoder.named_parameters() if name.endswith("weight")]
    assert shapes[:8] == [(32, 7, 1), *3 * [(32, 7, 32), (32, 1, 32)], (64, 4, 32)]
    assert shapes[-1] == (128, 3, 512)
    # C^2 (7 + 1) in each of three units, 4 C^2 stride in each strided convolution, for C = 32 to 256.
    units = sum(3 * 8 * width**2 for width in (32, 64, 128, 256))
    strided = sum(
        4 * stride * width**2 for stride, width in zip((2, 4, 5, 8), (32, 64, 128, 256), strict=True)
    )
    for network, outer in ((encoder, 7 * 32 + 3 * 512 * 128), (decoder, 7 * 512 * 128 + 7 * 32)):
        assert count(network) == pytest.approx(units + strided + outer, rel=0.005)


@settings(max_examples=40)
@given(st.sampled_from(sorted(TINY)), partitions(FRAMES))
def test_steps_equal_the_whole(name: str, sizes: list[int]) -> None:
    encoder, decoder = networks(TINY[name])
    audio, z = noise(2, FRAMES * 40), noise(2, 16, FRAMES)

    def encode(x: Tensor, state: object, valid: int) -> tuple[Tensor, object]:
        latents, state = encoder.step(x, state, valid)  # type: ignore[operator]
        assert latents.shape == (2, 16, x.shape[1] // 40)
        return latents.transpose(1, 2), state

    def decode(rows: Tensor, state: object, valid: int) -> tuple[Tensor, object]:
        sound, state = decoder.step(rows.transpose(1, 2), state, valid)  # type: ignore[operator]
        assert sound.shape == (2, rows.shape[1] * 40)
        return sound, state

    rows, _ = in_steps(encode, encoder.start(2), audio, sizes, rows_in=40)  # type: ignore[operator]
    close(rows.transpose(1, 2), encoder(audio))
    sound, _ = in_steps(decode, decoder.start(2), z.transpose(1, 2), sizes, rows_out=40)  # type: ignore[operator]
    close(sound, decoder(z))


@pytest.mark.parametrize("name", TINY)
def test_neither_side_looks_ahead(name: str) -> None:
    encoder, decoder = networks(TINY[name])
    audio, z = noise(1, FRAMES * 40), noise(1, 16, FRAMES)
    later_audio, later_z = audio.clone(), z.clone()
    later_audio[:, 10 * 40 :] += 1.0
    later_z[:, :, 10:] += 1.0
    torch.testing.assert_close(encoder(audio)[..., :10], encoder(later_audio)[..., :10], rtol=0, atol=0)
    torch.testing.assert_close(decoder(z)[..., :400], decoder(later_z)[..., :400], rtol=0, atol=0)
    assert not torch.equal(encoder(audio)[..., 10], encoder(later_audio)[..., 10])
    assert not torch.equal(decoder(z)[..., 400:440], decoder(later_z)[..., 400:440])


def reach(config: CodecConfig) -> int:
    """Frames, its own among them, from which a latent is made."""
    encoder, _ = networks(config)
    audio = torch.zeros(1, 60 * 40)
    audio[0, 0] = torch.nan
    return int(encoder(audio)[0].isnan().any(dim=0).nonzero().max()) + 1


def test_kernels_and_dilations_set_the_reach() -> None:
    short = seanet(lstm_layers=0, kernel=1, residual_kernel=1, last_kernel=1)
    assert reach(short) == 2  # strided convolutions overlap by one stride
    for wider in ({"kernel": 41}, {"residual_kernel": 9}, {"last_kernel": 3}):
        settings = {"lstm_layers": 0, "kernel": 1, "residual_kernel": 1, "last_kernel": 1, **wider}
        assert reach(seanet(**settings)) > 2, wider
    assert reach(SOUNDSTREAM) > reach(seanet(lstm_layers=0))
    # Dilations 1, 3, 9 of kernel 7 look 78 rows back in each stage; its rows are 1, 2 or 8 samples apart.
    assert reach(SOUNDSTREAM) >= (78 * (1 + 2 + 8)) // 40


@pytest.mark.parametrize(
    ("setting", "smaller", "larger"),
    [
        ("filters", 8, 16),
        ("lstm_layers", 1, 2),
        ("compress", 2, 1),
        ("true_skip", True, False),
        ("kernel", 3, 7),
        ("residual_kernel", 3, 5),
        ("dilations", (1,), (1, 2)),
    ],
)
def test_every_setting_counts_on_both_sides(setting: str, smaller: object, larger: object) -> None:
    small, large = (build_networks(seanet(**{setting: value})) for value in (smaller, larger))
    assert all(count(a) < count(b) for a, b in zip(small, large, strict=True))


def test_strides_that_do_not_make_the_hop_are_refused_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: odd\nhop: 320\nnetwork: {kind: seanet, strides: [2, 4, 5]}\n")
    with pytest.raises(
        CodecError, match=r"config\.yaml: .*\[2, 4, 5\] multiply to 40, not to the hop of 320"
    ):
        from_mapping(CodecConfig, read_yaml(path), str(path))


def test_filters_that_cannot_be_compressed_are_refused() -> None:
    with pytest.raises(CodecError, match="compress must divide the 8 filters, which 3 does not"):
        seanet(compress=3)


def test_outputs_stay_float32_under_autocast() -> None:
    encoder, decoder = networks(seanet())
    with torch.autocast("cpu", torch.bfloat16):
        z = encoder(noise(1, 400))
        audio = decoder(z)
    assert z.dtype == audio.dtype == torch.float32
