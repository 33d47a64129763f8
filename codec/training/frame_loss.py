"""Losing frames in training, for a decoder that knows how made-up latents sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.conceal import Landmarks, bridge, steadiness
from codec.model import CodecModel
from codec.training.config import FrameLossConfig

# For the encoder to settle on what silence looks like.
_QUIET_SECONDS = 1.5


class FrameLoss(nn.Module):
    """A channel that loses frames of latents and bridges the gaps as a decoder does.

    Gaps longer than those that a decoder bridges are bridged too; at the loss rates that make sense here they
    come once in a million frames. Made-up latents carry no gradient: they teach the decoder only.
    """

    center: Tensor
    silence: Tensor

    def __init__(self, config: FrameLossConfig, dim: int) -> None:
        super().__init__()
        self._config = config
        # Saved with the state, since a resumed training goes on with those of the same step.
        self.register_buffer("center", torch.zeros(dim))
        self.register_buffer("silence", torch.zeros(dim))

    @torch.no_grad()
    def settle(self, model: CodecModel) -> None:
        """Look up where the model has the mean of its words and its latents of silence by now."""
        bottleneck, hop = model.bottleneck, model.config.hop
        words = torch.arange(bottleneck.codebook_size, device=self.center.device)
        codes = words.expand(1, bottleneck.num_codebooks, -1)
        self.center.copy_(bottleneck.decode(codes)[0].mean(dim=1))
        quiet = self.silence.new_zeros(1, round(_QUIET_SECONDS * model.frame_rate) * hop)
        self.silence.copy_(model.normalize(model.encoder(quiet))[0, :, -1])

    def draw(self, batch: int, frames: int) -> Tensor:
        """Which frames arrive, ``[B, F]`` bool; the first and the last always do."""
        whole = torch.rand(batch, 1) >= self._config.examples
        arrived = whole | (torch.rand(batch, frames) >= self._config.rate)
        arrived[:, 0] = arrived[:, -1] = True
        return arrived

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``[B, D, F]`` as they reach the decoder."""
        arrived = self.draw(z.shape[0], z.shape[2]).to(z.device, non_blocking=True)
        return torch.where(arrived.unsqueeze(1), z, self._made_up(z.detach(), arrived))

    def _made_up(self, z: Tensor, arrived: Tensor) -> Tensor:
        frames = z.shape[2]
        place = torch.arange(frames, device=z.device).expand_as(arrived)
        before = torch.where(arrived, place, 0).cummax(dim=1).values
        behind = torch.where(arrived, place, frames - 1).flip(1).cummin(dim=1).values.flip(1)
        step = (place - before) / (behind - before).clamp(min=1)
        landmarks = Landmarks(self.center, self.silence)
        steady = steadiness(landmarks, z, arrived.to(z), arrived[:, 1:] & arrived[:, :-1])
        return bridge(landmarks, _at(z, before), _at(z, behind), step, steady)


def _at(z: Tensor, place: Tensor) -> Tensor:
    return z.gather(2, place.unsqueeze(1).expand_as(z))
