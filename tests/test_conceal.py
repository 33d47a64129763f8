"""Concealment of lost frames."""

from __future__ import annotations

import torch

from codec.conceal import fade_to_silence


def test_a_gap_fades_out_within_a_hop_and_is_silent_after() -> None:
    audio = fade_to_silence(torch.ones(320), 3)
    assert audio.shape == (960,)
    assert audio[0] > 0.999
    assert not audio[320:].any()
    assert (audio[:320].diff() < 0).all()
    assert audio[319] < 1e-4
