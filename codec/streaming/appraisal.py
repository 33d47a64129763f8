"""What frames would cost and lose with each number of codebooks, before any of them is coded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codec.bitstream.codes import Codes
from codec.engine import Engine
from codec.model import CodecModel
from codec.rate.importance import Importance
from codec.rate.trellis import Trellis
from codec.rate.window import COST_UNIT, Window, make_window
from codec.streaming.latents import Frames


class Appraised(NamedTuple):
    """A block: its latents ``z`` ``[C, D, F]``, what is known of them, and the number of its first frame."""

    z: Tensor
    window: Window
    position: int


class Appraiser:
    """Turns the frames of one stream into blocks that a rate control can decide.

    Args:
        engine: of the model.
        block_frames: frames of all blocks but the last.
        restart: see `codec.rate.importance.Importance`.
    """

    def __init__(self, engine: Engine, block_frames: int, restart: int) -> None:
        self._engine = engine
        self._block_frames = block_frames
        self._importance = Importance(engine.model.frame_rate, restart)
        self._position = 0
        self._waiting: Frames | None = None

    def push(self, frames: Frames) -> list[Appraised]:
        """Take frames and return the blocks that they complete."""
        waiting = frames if self._waiting is None else self._waiting.join(frames)
        blocks = []
        while len(waiting) >= self._block_frames:
            frames, waiting = waiting.split(self._block_frames)
            blocks.append(self._appraise(frames))
        self._waiting = waiting
        return blocks

    def flush(self) -> list[Appraised]:
        """The last block, if frames are left for one."""
        return [self._appraise(self._waiting)] if self._waiting is not None and len(self._waiting) else []

    def _appraise(self, frames: Frames) -> Appraised:
        profiles = [self._engine.profile(z) for z in frames.z]
        codes = np.stack([found.cpu().numpy() for found, _ in profiles])
        errors = np.stack([left.cpu().numpy() for _, left in profiles])
        weights = self._importance.weigh(frames.energy)
        window = make_window(errors, _code_costs(self._engine.model, codes), weights)
        position = self._position
        self._position += len(frames)
        return Appraised(frames.z, window, position)


def make_trellis(model: CodecModel) -> Trellis:
    """The trellis of a model, by what its entropy coder takes for numbers of codebooks."""
    count = model.bottleneck.num_codebooks
    if model.entropy is None:
        return Trellis(np.full((count + 2, count + 1), count.bit_length() * COST_UNIT))
    return Trellis(model.entropy.count_costs())


def _code_costs(model: CodecModel, codes: Codes) -> NDArray[np.int64]:
    """What the codes ``[C, M, F]`` of a block take, in parts of `COST_UNIT`."""
    if model.entropy is None:
        return np.full(codes.shape, model.bottleneck.bits_per_code * COST_UNIT)
    return model.entropy.costs(codes, None)
