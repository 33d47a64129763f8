"""How long a frame of latents is heard: what seeking and the reach of damage rest on."""

from __future__ import annotations

import pytest
import torch

from codec.config import CodecConfig
from codec.nn.network import build_networks
from tests.nn.networks import NETWORKS, seanet, spectral
from tests.nn.streams import noise

CONFIGS = {name: config for name, config in NETWORKS.items() if name != "seanet"} | {
    "seanet, long kernels": seanet(lstm_layers=0, kernel=9, dilations=(1, 5), strides=(8, 5)),
    "spectral, no overlap to speak of": spectral(overlap=2),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_frame_is_heard_for_as_long_as_the_decoder_says(name: str) -> None:
    decoder = _decoder(CONFIGS[name])
    changed = _changed(CONFIGS[name], decoder)
    assert max(changed) == decoder.memory
    assert min(changed) >= 0


def test_an_lstm_never_forgets() -> None:
    assert _decoder(NETWORKS["seanet"]).memory is None


def _decoder(config: CodecConfig) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_networks(config)[1].requires_grad_(False)


def _changed(config: CodecConfig, decoder: torch.nn.Module) -> list[int]:
    """Frames of audio that change with frame 5, counted from it."""
    z = noise(1, config.dim, 40)
    other = z.clone()
    other[:, :, 5] += 100
    difference = (decoder(z) - decoder(other)).view(-1, config.hop).abs().amax(dim=1)
    return (torch.nonzero(difference).flatten() - 5).tolist()
