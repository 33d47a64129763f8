"""Made-up latents: they bridge short gaps, fade to noise in long ones, and depend on little."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from codec.conceal import Concealer, Landmarks

DIM, FRAME_RATE = 8, 50.0
LANDMARKS = Landmarks(torch.zeros(DIM), torch.full((DIM,), -2.0))


def _latents(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(DIM, frames, generator=torch.Generator().manual_seed(seed))


def _quiet(frames: int, seed: int = 0) -> Tensor:
    return LANDMARKS.silence.unsqueeze(1) + 0.1 * _latents(frames, seed)


def _concealer(*heard: Tensor, position: int = 0) -> Concealer:
    concealer = Concealer(LANDMARKS, FRAME_RATE, 49, position)
    for z in heard:
        concealer.heard(z)
    return concealer


def _distance_to_silence(z: Tensor) -> Tensor:
    return (z - LANDMARKS.silence.unsqueeze(1)).norm(dim=0)


def test_a_lost_frame_lies_between_its_neighbours_and_nearer_to_silence() -> None:
    last, following = torch.full((DIM, 1), 4.0), torch.full((DIM,), 1.0)
    (z,) = _concealer(last).conceal(1, following).t()
    # The side that is twice as far from silence counts twice, and 0.3 of the way to silence comes on top.
    torch.testing.assert_close(z, torch.full((DIM,), 0.85 * 4.0 ** (2 / 3) - 0.6))


def test_what_is_steady_goes_straight_and_what_is_lively_keeps_its_size() -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(50)
    past = torch.stack([torch.full((100,), 3.0), 3.0 * signs]).repeat_interleave(DIM // 2, dim=0)
    following = -past[:, -1]
    z = _concealer(past).conceal(1, following)[:, 0] - 0.3 * LANDMARKS.silence
    assert z[: DIM // 2].abs().max() < 1.0, "the mean of both sides is nearly nothing"
    assert z[DIM // 2 :].abs().min() > 2.0


def test_the_larger_side_decides_the_sign() -> None:
    last, following = torch.full((DIM, 1), -4.0), torch.full((DIM,), 1.0)
    assert (_concealer(last).conceal(1, following) < -2).all()


def test_a_bridge_moves_from_side_to_side() -> None:
    last, following = torch.full((DIM, 1), 8.0), torch.full((DIM,), 1.0)
    z = _concealer(last).conceal(2, following)[0]
    assert 8 > z[0] + 0.6 > z[1] + 0.6 > 1


@pytest.mark.parametrize("parts", [[1] * 40, [3, 30, 7]])
def test_a_gap_told_in_parts_is_the_same(parts: list[int]) -> None:
    whole, cut = (_concealer(_quiet(60), _latents(40)) for _ in range(2))
    z, gains = whole.conceal(40, None), whole.gain
    assert torch.equal(torch.cat([cut.conceal(part, None) for part in parts], dim=1), z)
    assert cut.gain == gains


@pytest.mark.parametrize("following", [None, torch.ones(DIM)])
def test_a_long_gap_fades_to_quiet_frames_that_arrived(following: Tensor | None) -> None:
    quiet = _quiet(8)
    concealer = _concealer(_latents(40), quiet, _latents(40, seed=1))
    z = concealer.conceal(60, following)
    distance = _distance_to_silence(z)
    assert distance[0] > 3
    assert (distance[:5].diff() < 0).all()
    middle = z[:, 5:55]
    nearest = (middle.unsqueeze(2) - quiet.unsqueeze(1)).abs().amax(dim=0).amin(dim=1)
    assert (nearest < 1e-6).all()
    assert len(middle.t().unique(dim=0)) > 4, "one frame again and again would buzz"
    assert (distance[-1] > 3) == (following is not None)


def test_the_gain_falls_to_nothing_and_comes_back() -> None:
    concealer = _concealer(_latents(10))
    assert concealer.gain == 1
    gains = concealer.gains(200, 4)
    assert (gains[: 50 * 4] == 1).all()
    assert (gains.diff() <= 0).all()
    assert (gains[150 * 4 :] == 0).all()
    concealer.conceal(concealer.audible_left, None)
    assert (concealer.audible_left, concealer.gain) == (0, 0)
    concealer.skip(10**9)
    concealer.heard(_latents(1))
    assert (concealer.audible_left, concealer.gain) == (150, 1)


def test_nothing_is_made_up_from_nothing() -> None:
    assert _concealer().audible_left == 0


@pytest.mark.parametrize("following", [None, torch.ones(DIM)])
def test_only_the_last_seconds_matter(following: Tensor | None) -> None:
    recent = _latents(100)
    long = _concealer(_quiet(500), recent)
    short = _concealer(recent, position=500)
    assert torch.equal(long.conceal(40, following), short.conceal(40, following))


def test_frames_from_before_an_earlier_gap_age_too() -> None:
    recent = _latents(50)
    long = _concealer(_quiet(50))
    long.skip(60)
    long.heard(recent)
    assert torch.equal(long.conceal(40, None), _concealer(recent, position=110).conceal(40, None))
