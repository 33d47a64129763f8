"""A training on a device that is not the CPU, but that the CPU stands in for."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy

from codec.config import AdditiveConfig, BottleneckConfig
from codec.training import fit as fit_module
from codec.training.config import FrameLossConfig
from codec.training.data import DataConfig
from tests.other_device import other_device
from tests.training.tiny import ADVERSARIAL, tiny_fit, tiny_recipe, with_bottleneck


class Places(lightning.Callback):
    """Keeps which devices weights and buffers are on at the end."""

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.found = {each.device.type for each in module.state_dict().values()}


@pytest.mark.parametrize(
    "bottleneck",
    [
        BottleneckConfig(num_codebooks=3, codebook_size=8, beam=2),
        AdditiveConfig(num_codebooks=3, codebook_size=8, estimator="ema"),
    ],
    ids=["residual", "additive"],
)
def test_it_comes_to_the_weights_of_the_cpu(
    bottleneck: BottleneckConfig | AdditiveConfig,
    tmp_path: Path,
    clips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all that `gpu.yaml` uses but bf16: warm start, k-means, replacement, discriminator, averages."""
    discriminator = dataclasses.replace(ADVERSARIAL.discriminator, periods=(2, 3))
    recipe = tiny_recipe(frame_losses=FrameLossConfig(), data=DataConfig(0.1, 3, on_device=True))
    adversarial = dataclasses.replace(ADVERSARIAL, discriminator=discriminator)
    training = dataclasses.replace(recipe.training, adversarial=adversarial)
    recipe = with_bottleneck(dataclasses.replace(recipe, training=training), bottleneck)
    here = tiny_fit(recipe, clips, tmp_path / "here")
    with other_device() as device:
        monkeypatch.setattr(fit_module, "_strategy", lambda devices: SingleDeviceStrategy(device))
        monkeypatch.setattr(CPUAccelerator, "setup_device", lambda *_: None)
        optimizer = sys.modules["torch.optim.optimizer"]
        monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [device.type])
        places = Places()
        there = tiny_fit(recipe, clips, tmp_path / "there", callbacks=[places])
        assert places.found == {device.type}
        weights = there.cpu().state_dict()
    torch.testing.assert_close(weights, here.state_dict())
