"""Latent frames to the codes and payloads of blocks, as the rate mode wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from codec.bitstream.codes import Codes
from codec.bitstream.payload import PayloadCoder
from codec.engine import Engine
from codec.rate.average import AverageRate
from codec.rate.control import WindowControl
from codec.rate.trellis import Counts
from codec.rate.variable import VariableRate
from codec.streaming.appraisal import Appraised, Appraiser
from codec.streaming.latents import Frames


class Block(NamedTuple):
    """Codes ``[C, M', F]`` and the payload that carries them."""

    codes: Codes
    payload: bytes


class BlockMaker(Protocol):
    """Codes the frames of one stream, block by block."""

    def push(self, frames: Frames) -> list[Block]:
        """Take frames and return the blocks that they complete."""

    def flush(self) -> list[Block]:
        """The last block, if frames are left for one."""

    def retarget(self, target: float) -> None:
        """Take another target from the next block on whose frames have not begun."""


class _Targets:
    """Targets that wait for the frame from which they hold."""

    def __init__(self, block_frames: int) -> None:
        self._block_frames = block_frames
        self._waiting: list[tuple[int, float]] = []

    def add(self, frames: int, target: float) -> None:
        """Note a target, after so many frames of the stream have come."""
        self._waiting.append((-(-frames // self._block_frames) * self._block_frames, target))

    def due(self, frame: int) -> float | None:
        """The target that begins at a frame, the first of a block."""
        due = [target for start, target in self._waiting if start <= frame]
        self._waiting = [(start, target) for start, target in self._waiting if start > frame]
        return due[-1] if due else None


class ConstantBlocks:
    """The same number of codebooks in all frames of a block; the target is that number.

    Frames are searched as they come, many at a time.
    """

    def __init__(self, engine: Engine, coder: PayloadCoder, num_codebooks: int) -> None:
        self._engine = engine
        self._coder = coder
        self._num_codebooks = num_codebooks
        self._targets = _Targets(coder.block_frames)
        self._frames = 0
        self._codes = np.zeros((coder.channels, coder.num_codebooks, 0), np.int64)

    def push(self, frames: Frames) -> list[Block]:
        """See `BlockMaker`."""
        n = self._counts(len(frames))
        found = _search(self._engine, frames.z, np.tile(n, (len(frames.z), 1)))
        self._codes = np.concatenate([self._codes, found[:, : self._coder.num_codebooks]], axis=2)
        blocks = []
        while self._codes.shape[2] >= self._coder.block_frames:
            blocks.append(self._block(self._codes[:, :, : self._coder.block_frames]))
            self._codes = self._codes[:, :, self._coder.block_frames :].copy()
        return blocks

    def flush(self) -> list[Block]:
        """See `BlockMaker`."""
        return [self._block(self._codes)] if self._codes.shape[2] else []

    def retarget(self, target: float) -> None:
        """See `BlockMaker`."""
        self._targets.add(self._frames, target)

    def _counts(self, frames: int) -> Counts:
        n = np.empty(frames, np.int64)
        for at in range(frames):
            if (self._frames + at) % self._coder.block_frames == 0:
                self._num_codebooks = int(self._targets.due(self._frames + at) or self._num_codebooks)
            n[at] = self._num_codebooks
        self._frames += frames
        return n

    def _block(self, codes: Codes) -> Block:
        return Block(codes, self._coder.pack(codes))


class WindowCoder:
    """Codes appraised blocks in order, each decided by a control that sees its real size.

    Args:
        engine: of the model.
        coder: of the payloads.
        control: decides.
        overhead: bits of a block beside its payload.
    """

    def __init__(self, engine: Engine, coder: PayloadCoder, control: WindowControl, overhead: int) -> None:
        self._engine = engine
        self._coder = coder
        self._control = control
        self._overhead = overhead

    def code(self, block: Appraised, final: bool, rest: Sequence[Appraised] = ()) -> Block:
        """Code the next block; ``final`` and ``rest`` as `WindowControl.choose` takes them."""
        choice = self._control.choose(block.window, final, [after.window for after in rest])
        found = _search(self._engine, block.z, choice.counts)
        while True:
            codes = found[:, : self._coder.num_codebooks]
            payload = self._coder.pack(codes, choice.stored)
            better = self._control.revise(block.window, choice, 8 * len(payload) + self._overhead)
            if better is None:
                return Block(codes, payload)
            same = better.counts == choice.counts
            found = _search(self._engine, block.z, better.counts, np.where(same[:, None], found, -1))
            choice = better


class WindowBlocks:
    """Each block is a window, decided when all its frames are there; the target is that of the control.

    Args:
        appraiser: of the frames.
        coder: of the blocks.
        control: what decides in it.
        block_frames: frames of a block.
        kept_back: so many blocks wait for those behind them, so that the last ones are decided together.
    """

    def __init__(
        self,
        appraiser: Appraiser,
        coder: WindowCoder,
        control: AverageRate | VariableRate,
        block_frames: int,
        kept_back: int,
    ) -> None:
        self._appraiser = appraiser
        self._coder = coder
        self._control = control
        self._kept_back = kept_back
        self._kept: list[Appraised] = []
        self._targets = _Targets(block_frames)
        self._frames = 0

    def push(self, frames: Frames) -> list[Block]:
        """See `BlockMaker`."""
        self._frames += len(frames)
        blocks = []
        for block in self._appraiser.push(frames):
            self._kept.append(block)
            if len(self._kept) > self._kept_back:
                blocks.append(self._code(self._kept.pop(0), final=False))
        return blocks

    def flush(self) -> list[Block]:
        """See `BlockMaker`."""
        self._kept += self._appraiser.flush()
        blocks = []
        while self._kept:
            block = self._kept.pop(0)
            blocks.append(self._code(block, final=not self._kept, rest=self._kept))
        return blocks

    def retarget(self, target: float) -> None:
        """See `BlockMaker`."""
        self._targets.add(self._frames, target)

    def _code(self, block: Appraised, final: bool, rest: Sequence[Appraised] = ()) -> Block:
        target = self._targets.due(block.position)
        if target is not None:
            self._control.retarget(target)
        return self._coder.code(block, final, rest)


def _search(engine: Engine, z: Tensor, n: Counts, known: Codes | None = None) -> Codes:
    """Codes ``[C, M, F]`` of latents ``[C, D, F]`` with ``n`` ``[C, F]`` codebooks.

    ``known`` ``[C, M, F]`` are those of an earlier search, -1 where they have to be found anew.
    """
    if known is None:
        known = np.full((len(n), engine.model.bottleneck.num_codebooks, z.shape[2]), -1, np.int64)
    codes = known.copy()
    for channel, (latents, row) in enumerate(zip(z, n, strict=True)):
        wanted = np.flatnonzero((row > 0) & (known[channel, 0] < 0))
        # A search goes on until the frame with the most codebooks is done: those alike go together.
        order = wanted[row[wanted].argsort(kind="stable")]
        found = engine.search(latents[:, torch.from_numpy(order)], torch.from_numpy(row[order]))
        codes[channel][:, order] = found.cpu().numpy()
    return codes
