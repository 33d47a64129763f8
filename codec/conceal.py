"""What is played for lost frames: latents that bridge a short gap, and fade to comfort noise in a long one.

Everything follows from the latents of frames that arrived, never from what was made up before. So the audio
behind a gap is that of an undamaged stream once the decoder has forgotten the gap, and a reader that starts
in the middle of a stream conceals as one that read it from its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Up to here a gap is bridged from one side to the other; in a longer one each side fades in so much time.
_BRIDGE_SECONDS = 0.1
# Comfort noise is drawn from the quietest of the frames that arrived in so much time before the gap.
MEMORY_SECONDS = 2.0
_NOISE_FRAMES = 8
# The noise begins to fade, and is gone: whoever waits so long should hear that nothing comes.
_HOLD_SECONDS, _SILENT_SECONDS = 1.0, 3.0
# Shares of silence in what bridges a gap, and in what goes on from one side alone: a frame too loud hurts
# more than one too soft. This and what follows was chosen by PESQ (docs/concealment.md).
_BRIDGE_SILENCE, _LONE_SILENCE = 0.3, 0.2
_LIVELY_GAIN = 0.85
_PRIOR_FRAMES = 5
_TINY = 1e-12
# Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4) draws evenly and never at random.
_GOLDEN, _WORD = 40503, 1 << 16


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Two places among the latents of a model.

    Attributes:
        center: the mean of its words ``[D]``.
        silence: the latents of digital silence ``[D]``.
    """

    center: Tensor
    silence: Tensor


class Concealer:
    """Makes up the latents of lost frames of one channel; state of a stream.

    Args:
        landmarks: of the model.
        frame_rate: frames a second.
        memory: frames that the decoder remembers; None if that is all.
        position: number of the first frame that comes.
    """

    def __init__(
        self, landmarks: Landmarks, frame_rate: float, memory: int | None, position: int = 0
    ) -> None:
        self._landmarks = landmarks
        self._bridge = max(round(_BRIDGE_SECONDS * frame_rate), 1)
        self._hold = round(_HOLD_SECONDS * frame_rate)
        # The decoder has forgotten what was before the gap when it is no longer asked.
        self.audible_frames = max(round(_SILENT_SECONDS * frame_rate), memory or 0)
        self.history_frames = history_frames(frame_rate)
        self._position = position
        self._age = 0
        self._past = landmarks.center.new_zeros(len(landmarks.center), 0)
        self._numbers = torch.zeros(0, dtype=torch.int64)

    @property
    def ready(self) -> bool:
        """Whether a frame arrived that something can be made of."""
        return self._past.shape[1] > 0

    @property
    def gain(self) -> float:
        """Of the audio at this point of a gap; 1 outside."""
        return float(self._fade(torch.tensor(float(self._age))))

    @property
    def audible_left(self) -> int:
        """Frames of this gap that are still heard."""
        return max(self.audible_frames - self._age, 0) if self.ready else 0

    def heard(self, z: Tensor) -> None:
        """Take latents ``[D, F]`` that arrived."""
        numbers = torch.arange(self._position, self._position + z.shape[1])
        self._position += z.shape[1]
        self._age = 0
        recent = self.history_frames
        self._past = torch.cat([self._past, z], dim=1)[:, -recent:].clone()
        self._numbers = torch.cat([self._numbers, numbers])[-recent:].clone()

    def skip(self, frames: int) -> None:
        """Pass over lost frames that are not heard."""
        self._position += frames
        self._age += frames

    def conceal(self, frames: int, following: Tensor | None) -> Tensor:
        """Latents ``[D, F]`` for the next F = ``frames`` lost frames, up to ``audible_left``.

        Args:
            frames: how many; a gap may be told in parts.
            following: latents ``[D]`` of the frame that arrived behind them, if it has.
        """
        last, age = self._past[:, -1], torch.arange(self._age, self._age + frames)
        to_end = torch.arange(frames, 0, -1)
        if following is None:
            made_up = self._alone(last).unsqueeze(1).expand(-1, frames)
            closeness = 1 - age / self._bridge
        elif self._age + frames <= self._bridge:
            made_up = self._between(last, following, frames)
            closeness = torch.ones(frames)
        else:
            near = torch.stack([self._alone(last), self._alone(following)], dim=1)
            made_up = near[:, (to_end <= self._bridge).long()]
            closeness = 1 - torch.minimum(age, to_end) / self._bridge
        share = closeness.clamp(0, 1).to(last)
        z = share * made_up + (1 - share) * self._noise(frames)
        self.skip(frames)
        return z

    def gains(self, frames: int, hop: int) -> Tensor:
        """Factors ``[frames * hop]`` of the audio of the next lost frames; call it before ``conceal``."""
        return self._fade(self._age + torch.arange(frames * hop, dtype=torch.float32) / hop)

    def _fade(self, ages: Tensor) -> Tensor:
        return 1 - ((ages - self._hold) / (self.audible_frames - self._hold)).clamp(0, 1)

    def _between(self, last: Tensor, following: Tensor, frames: int) -> Tensor:
        """Latents ``[D, F]`` of a gap between two frames that arrived."""
        step = torch.arange(1, frames + 1).to(last) / (frames + 1)
        sides = last.unsqueeze(1), following.unsqueeze(1)
        return bridge(self._landmarks, *sides, step, self._steadiness())

    def _steadiness(self) -> Tensor:
        known, numbers = self._recent()
        return steadiness(self._landmarks, known, known.new_ones(len(numbers)), numbers.diff() == 1)

    def _recent(self) -> tuple[Tensor, Tensor]:
        """Latents ``[D, n]`` that arrived in the last seconds before the gap, and the frames' numbers."""
        recent = self._numbers >= self._position - self._age - self.history_frames
        return self._past[:, recent], self._numbers[recent]

    def _alone(self, side: Tensor) -> Tensor:
        """Latents ``[D]`` next to one that arrived, softer than it."""
        return side + _LONE_SILENCE * (self._landmarks.silence - side)

    def _noise(self, frames: int) -> Tensor:
        """Quiet frames ``[D, F]`` from not long before the gap, in an order that its place decides."""
        recent, _ = self._recent()
        distance = (recent - self._landmarks.silence.unsqueeze(1)).square().sum(dim=0)
        quiet = recent[:, torch.argsort(distance, stable=True)[:_NOISE_FRAMES]]
        numbers = torch.arange(self._position, self._position + frames)
        drawn = numbers % _WORD * _GOLDEN % _WORD * quiet.shape[1] // _WORD
        return quiet[:, drawn]


def bridge(landmarks: Landmarks, last: Tensor, following: Tensor, step: Tensor, steady: Tensor) -> Tensor:
    """Latents ``[..., D, F]`` between two frames that arrived, the louder of them nearer.

    Dimensions that are steady from frame to frame, as level and spectral envelope are, move straight from
    side to side. Those that change their sign all the time, as the fine structure of a transform does,
    would cancel out: they take the geometric mean of both sides, and the sign of the larger.

    Args:
        landmarks: of the model.
        last: the latents before the gap, for each frame in it ``[..., D, F or 1]``.
        following: those behind it, alike.
        step: how far from the one to the other each frame lies ``[..., F]``, between 0 and 1.
        steady: from :func:`steadiness`, ``[..., D]``.
    """
    center, silence = landmarks.center.unsqueeze(1), landmarks.silence.unsqueeze(1)
    a, b = last - center, following - center
    left = (1 - step).unsqueeze(-2) * (last - silence).norm(dim=-2, keepdim=True)
    right = step.unsqueeze(-2) * (following - silence).norm(dim=-2, keepdim=True)
    weight = right / (left + right).clamp(min=_TINY)
    sign = torch.where((1 - weight) * a.abs() > weight * b.abs(), a.sign(), b.sign())
    lively = _LIVELY_GAIN * sign * a.abs() ** (1 - weight) * b.abs() ** weight
    steady = steady.unsqueeze(-1)
    made_up: Tensor = steady * ((1 - weight) * a + weight * b) + (1 - steady) * lively
    return made_up + center + _BRIDGE_SILENCE * (silence - center)


def steadiness(landmarks: Landmarks, z: Tensor, arrived: Tensor, paired: Tensor) -> Tensor:
    """Autocorrelation ``[..., D]`` from frame to frame of the latents that arrived, 0 to 1.

    Args:
        landmarks: of the model.
        z: latents ``[..., D, F]``.
        arrived: 1 for those that arrived, else 0, ``[..., F]``.
        paired: whether a frame and the next in ``z`` arrived one right after the other ``[..., F - 1]``.
    """
    away = (z - landmarks.center.unsqueeze(1)) * arrived.unsqueeze(-2)
    paired = paired.to(z).unsqueeze(-2)
    product = (away[..., :-1] * away[..., 1:] * paired).sum(dim=-1)
    # Little is known from a few frames: they count beside others that show no connection.
    chances = (paired.sum(dim=-1) + _PRIOR_FRAMES) / arrived.sum(dim=-1, keepdim=True).clamp(min=1)
    power = away.square().sum(dim=-1) * chances
    return torch.clamp(product / power.clamp(min=_TINY), 0, 1)


def history_frames(frame_rate: float) -> int:
    """Frames before a gap that decide what is played in it."""
    return round(MEMORY_SECONDS * frame_rate)
