"""What frames would cost and lose with each number of codebooks, before any of them is coded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.bitstream.codes import Codes
from codec.engine import Engine
from codec.model import CodecModel
from codec.rate.importance import Importance
from codec.rate.trellis import Trellis
from codec.rate.window import COST_UNIT, Window, make_window
from codec.streaming.latents import Frames


class Appraiser:
    """Turns the frames of one stream into windows.

    Args:
        engine: of the model.
        restart: see `codec.rate.importance.Importance`.
    """

    def __init__(self, engine: Engine, restart: int) -> None:
        self._engine = engine
        self._importance = Importance(engine.model.frame_rate, restart)

    def window(self, frames: Frames) -> Window:
        """The next frames, as a rate control sees them."""
        profiles = [self._engine.profile(z) for z in frames.z]
        codes = np.stack([found.cpu().numpy() for found, _ in profiles])
        errors = np.stack([left.cpu().numpy() for _, left in profiles])
        weights = self._importance.weigh(frames.energy)
        return make_window(errors, _code_costs(self._engine.model, codes), weights)


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
