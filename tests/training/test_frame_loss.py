"""Frames lost in training: bridged as a decoder bridges them, and a lesson for the decoder alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.conceal import Concealer, Landmarks
from codec.config import from_mapping
from codec.engine import Engine
from codec.errors import CodecError
from codec.training.config import FrameLossConfig, TrainingConfig
from codec.training.frame_loss import FrameLoss
from tests.training.tiny import tiny_fit, tiny_recipe

DIM, FRAME_RATE = 8, 50.0


@pytest.fixture
def channel() -> FrameLoss:
    torch.manual_seed(0)
    channel = FrameLoss(FrameLossConfig(examples=0.5, rate=0.3), DIM)
    channel.center.copy_(torch.randn(DIM))
    channel.silence.copy_(torch.randn(DIM))
    return channel


def _through(channel: FrameLoss, z: Tensor, arrived: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(channel, "draw", lambda batch, frames: arrived)
    heard: Tensor = channel(z)
    return heard


def test_so_many_frames_of_so_many_examples_are_lost(channel: FrameLoss) -> None:
    arrived = channel.draw(2000, 50)
    assert arrived[:, [0, -1]].all()
    hit = ~arrived.all(dim=1)
    assert hit.float().mean() == pytest.approx(0.5, abs=0.04)
    assert (~arrived[hit][:, 1:-1]).float().mean() == pytest.approx(0.3, abs=0.01)


def test_what_arrives_is_not_touched(channel: FrameLoss, monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(3, DIM, 30)
    arrived = torch.rand(3, 30) > 0.3
    arrived[:, [0, -1]] = True
    kept = arrived.unsqueeze(1).expand_as(z)
    heard = _through(channel, z, arrived, monkeypatch)
    assert torch.equal(heard[kept], z[kept])
    assert (heard[~kept] != z[~kept]).all()


@pytest.mark.parametrize("gap", [1, 2, 5])
@pytest.mark.parametrize("steady", [False, True])
def test_a_gap_is_bridged_as_a_decoder_bridges_it(
    channel: FrameLoss, gap: int, steady: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = channel.center.unsqueeze(1)
    if steady:
        # So far from the mean and so alike that a frame more or less tells nothing new.
        z = center + 5 + torch.randn(DIM, 90) / 100
    else:
        z = center + torch.randn(DIM, 90).abs() * torch.tensor([1.0, -1.0]).repeat(45)
    last = 90 - gap - 1
    concealer = Concealer(Landmarks(channel.center, channel.silence), FRAME_RATE, 49)
    concealer.heard(z[:, :last])
    expected = concealer.conceal(gap, z[:, -1])
    arrived = torch.ones(1, 90, dtype=torch.bool)
    arrived[0, last:-1] = False
    heard = _through(channel, z.unsqueeze(0), arrived, monkeypatch)[0, :, last:-1]
    torch.testing.assert_close(heard, expected, atol=5e-3 if steady else 1e-5, rtol=0)


def test_made_up_frames_teach_the_encoder_nothing(
    channel: FrameLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = torch.randn(1, DIM, 9, requires_grad=True)
    arrived = torch.tensor([[True, True, False, False, True, True, False, True, True]])
    _through(channel, z, arrived, monkeypatch).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, arrived.unsqueeze(1).expand_as(z).float())


def test_the_landmarks_are_those_of_the_decoder(tmp_path: Path, clips: Path) -> None:
    recipe = tiny_recipe(adversarial=False, frame_losses=FrameLossConfig(), max_steps=5)
    module = tiny_fit(recipe, clips, tmp_path)
    assert module.channel is not None
    assert module.channel.center.any(), "the channel did not settle when the codebooks came in"
    model = module.model.eval()
    module.channel.settle(model)
    expected = Engine(model).landmarks()
    torch.testing.assert_close(module.channel.center, expected.center)
    torch.testing.assert_close(module.channel.silence, expected.silence)


def test_lost_frames_change_what_is_trained(tmp_path: Path, clips: Path) -> None:
    without = tiny_fit(tiny_recipe(adversarial=False), clips, tmp_path / "without")
    losses = FrameLossConfig(examples=1.0, rate=0.5)
    recipe = tiny_recipe(adversarial=False, frame_losses=losses)
    lossy = tiny_fit(recipe, clips, tmp_path / "lossy")
    name = next(iter(dict(without.model.decoder.named_parameters())))
    assert not torch.equal(without.model.decoder.get_parameter(name), lossy.model.decoder.get_parameter(name))


@pytest.mark.parametrize("wrong", [{"examples": 1.5}, {"rate": 1.0}, {"rate": -0.1}, {"share": 0.5}])
def test_impossible_losses_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(CodecError, match=next(iter(wrong))):
        from_mapping(TrainingConfig, {"frame_losses": wrong}, "recipe.yaml")
