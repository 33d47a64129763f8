"""How far a training has come on its way, by its steps or by the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from codec.training.config import OptimizerConfig, TrainingConfig


class Course:
    """Counts the steps and the time of a training, and tells what share of it is over.

    config: its length, in minutes where it gives them and in steps otherwise. clock: seconds from any start.
    `steps` and `seconds` count interrupted runs of it too, but not the time between them.
    """

    def __init__(self, config: TrainingConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps = 0
        self.seconds = 0.0
        self._max_steps = config.max_steps
        self._max_seconds = None if config.max_minutes is None else 60.0 * config.max_minutes
        self._clock = clock
        self._last: float | None = None

    @property
    def share(self) -> float:
        """How much of the training is over, from 0 to 1."""
        if self._max_seconds is None:
            return min(1.0, self.steps / self._max_steps)
        return min(1.0, self.seconds / self._max_seconds)

    @property
    def over(self) -> bool:
        """Whether the training has come to its end."""
        return self.share >= 1.0

    def begin(self) -> None:
        """Set the clock going, at the start and wherever a training is taken up again."""
        self._last = self._clock()

    def take_step(self, agree: Callable[[float], float] = lambda seconds: seconds) -> None:
        """Count a step and the time since the one before.

        agree: makes the ranks of a distributed training go by one clock.
        """
        self.steps += 1
        if self._last is not None:
            now = self._clock()
            self.seconds, self._last = agree(self.seconds + now - self._last), now


def learning_rate_share(config: OptimizerConfig, steps: int, share: float) -> float:
    """The share of its learning rate that an optimizer has after `steps`: warm-up, hold, cosine decay.

    share: how much of the training is over, of which the last `decay_share` is the decay.
    """
    if steps < config.warmup_steps:
        return (steps + 1) / config.warmup_steps
    decayed = max(0.0, 1 - (1 - share) / config.decay_share)
    return config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * decayed))
