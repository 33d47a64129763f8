"""The streaming engine: a model on frames as they come, with equal bits for every way of cutting them.

A matrix product may give other last bits for other numbers of rows. So frames go through the networks in
blocks whose row counts were found to agree on this machine, large ones for files and small ones for live
steps; if those do not agree, in small ones alone, or each frame by itself in one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from codec.conceal import Landmarks
from codec.model import CodecModel
from codec.nn.layers import State

_LIVE_ROWS = 8
# A block takes the time of 15 rows beside that of its own. Larger ones than these gain little.
_ROWS = (128, 64, 32, 16, _LIVE_ROWS)
# So many rows are filled up rather than begin a block more.
_WORTH_FILLING = 32
# More codebooks are searched by products of the same shapes.
_CHECKED_CODEBOOKS = 4


@dataclass(frozen=True)
class RowPlan:
    """How a run of frames is cut into blocks for the networks.

    ``rows`` are the block sizes that give equal bits, largest first; a block is filled up with frames that
    mean nothing. ``alone`` puts one real frame into each block.
    """

    rows: tuple[int, ...]
    alone: bool = False

    def blocks(self, frames: int) -> list[tuple[int, int]]:
        """Pairs (real frames, rows) that cover ``frames`` in order."""
        if self.alone:
            return [(1, self.rows[-1])] * frames
        plan = []
        while frames:
            rows = self._next(frames)
            plan.append((min(frames, rows), rows))
            frames -= plan[-1][0]
        return plan

    def _next(self, frames: int) -> int:
        """The size of the next block, the last one if it takes no more than a few rows to fill it."""
        enough = [rows for rows in self.rows if rows >= frames]
        if enough and enough[-1] - frames <= _WORTH_FILLING:
            return enough[-1]
        return next(rows for rows in self.rows if rows < frames)


_FAST_PLAN = RowPlan(_ROWS)
_SMALL_PLAN = RowPlan((_LIVE_ROWS,))
_SAFE_PLAN = RowPlan((_LIVE_ROWS,), alone=True)


# The plan of each model and number of threads, so that the check runs once and not for every stream.
_PLANS: WeakKeyDictionary[CodecModel, dict[int, RowPlan]] = WeakKeyDictionary()
_LANDMARKS: WeakKeyDictionary[CodecModel, Landmarks] = WeakKeyDictionary()
# From then on an encoder of silence has forgotten how it began.
_SETTLED_FRAMES = 64


class Engine:
    """Runs one model, without a state of its own: any number of streams share it."""

    def __init__(self, model: CodecModel) -> None:
        self.model = model
        self.device = next(model.parameters()).device

    def __deepcopy__(self, memo: object) -> Engine:
        """A copied stream goes on by itself and shares the model, which holds nothing of a stream."""
        return self

    def check_rows(self) -> RowPlan:
        """The row counts that agree with this number of threads; tried out once for each number."""
        plans = _PLANS.setdefault(self.model, {})
        threads = torch.get_num_threads()
        if threads not in plans:
            plans[threads] = self._find_plan()
        return plans[threads]

    def start_encoder(self) -> State:
        """The state of one mono stream before its first sample."""
        return self.model.encoder.start(1)

    def start_decoder(self) -> State:
        """The state of one mono stream before its first frame."""
        return self.model.decoder.start(1)

    @torch.inference_mode()
    def latents(self, audio: Tensor, state: State) -> tuple[Tensor, State]:
        """Audio of whole hops ``[F * hop]`` to normalized latents ``[D, F]``, and the state after."""
        return self._latents(audio.to(self.device), state, self.check_rows())

    @torch.inference_mode()
    def search(self, z: Tensor, n: Tensor) -> Tensor:
        """Codes ``[M, F]`` of latents ``[D, F]``, with ``n`` ``[F]`` codebooks in a frame and -1 beyond."""
        return self._search(z, n.to(self.device), self.check_rows())

    @torch.inference_mode()
    def profile(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quick codes ``[M, F]`` of latents ``[D, F]``, and the errors ``[M + 1, F]`` of their prefixes.

        See :meth:`codec.quantize.bottleneck.Bottleneck.profile`.
        """
        at, codes, errors = 0, [], []
        for frames, _ in self.check_rows().blocks(z.shape[1]):
            # A window comes here once and whole, so that no other way of cutting it has to agree.
            block = _fill(z[:, at : at + frames], -(-frames // _LIVE_ROWS) * _LIVE_ROWS)
            found, left = self.model.bottleneck.profile(block.unsqueeze(0))
            codes.append(found[0, :, :frames])
            errors.append(left[0, :, :frames])
            at += frames
        return torch.cat(codes, dim=1), torch.cat(errors, dim=1)

    @torch.inference_mode()
    def dequantize(self, codes: Tensor) -> Tensor:
        """Codes ``[M, F]`` to the latents ``[D, F]`` that they stand for."""
        return self.model.bottleneck.decode(codes.unsqueeze(0).to(self.device))[0]

    @torch.inference_mode()
    def play(self, z: Tensor, state: State) -> tuple[Tensor, State]:
        """Latents ``[D, F]`` to audio ``[F * hop]``, the decoder's delay late, and the state after it."""
        return self._audio(z, state, self.check_rows())

    @torch.inference_mode()
    def landmarks(self) -> Landmarks:
        """Where concealment finds its way among the latents; computed once for each model."""
        if self.model not in _LANDMARKS:
            hop, bottleneck = self.model.config.hop, self.model.bottleneck
            quiet, _ = self.latents(torch.zeros(_SETTLED_FRAMES * hop), self.start_encoder())
            words = torch.arange(bottleneck.codebook_size).expand(bottleneck.num_codebooks, -1)
            _LANDMARKS[self.model] = Landmarks(self.dequantize(words).mean(dim=1), quiet[:, -1].clone())
        return _LANDMARKS[self.model]

    def _latents(self, audio: Tensor, state: State, plan: RowPlan) -> tuple[Tensor, State]:
        hop, outputs, at = self.model.config.hop, [], 0
        for frames, rows in plan.blocks(audio.shape[0] // hop):
            block = _fill(audio[at * hop : (at + frames) * hop], rows * hop)
            z, state = self.model.encoder.step(block.unsqueeze(0), state, frames)
            outputs.append(self.model.normalize(z)[0, :, :frames])
            at += frames
        empty = audio.new_zeros(self.model.config.dim, 0)
        return torch.cat([empty, *outputs], dim=1), state

    def _search(self, z: Tensor, n: Tensor, plan: RowPlan) -> Tensor:
        bottleneck = self.model.bottleneck
        outputs = [torch.empty(bottleneck.num_codebooks, 0, dtype=torch.int64, device=z.device)]
        at = 0
        for frames, rows in plan.blocks(z.shape[1]):
            block = _fill(z[:, at : at + frames], rows)
            limits = _fill(n[at : at + frames], rows)
            outputs.append(bottleneck.encode(block.unsqueeze(0), limits.unsqueeze(0))[0, :, :frames])
            at += frames
        return torch.cat(outputs, dim=1)

    def _audio(self, z: Tensor, state: State, plan: RowPlan) -> tuple[Tensor, State]:
        outputs, at = [z.new_zeros(0)], 0
        for frames, rows in plan.blocks(z.shape[1]):
            block = _fill(z[:, at : at + frames], rows)
            audio, state = self.model.decoder.step(block.unsqueeze(0), state, frames)
            outputs.append(audio[0, : frames * self.model.config.hop])
            at += frames
        return torch.cat(outputs), state

    @torch.inference_mode()
    def _find_plan(self) -> RowPlan:
        """The fastest plan by which frames get the bits that they get one by one."""
        generator = torch.Generator().manual_seed(0)
        audio = 0.1 * torch.randn(_ROWS[0] * self.model.config.hop, generator=generator).to(self.device)
        part_full = list(range(1, _LIVE_ROWS))
        small = self._code(audio, [*part_full, _ROWS[0] - sum(part_full)], _SMALL_PLAN)
        if not _agree(small, self._code(audio, [_LIVE_ROWS + 4], _SAFE_PLAN)):
            return _SAFE_PLAN
        large = (self._code(audio, [rows - 3], RowPlan((rows,))) for rows in _ROWS[:-1])
        return _FAST_PLAN if all(_agree(small, each) for each in large) else _SMALL_PLAN

    def _code(self, audio: Tensor, pushes: list[int], plan: RowPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, codes and decoded audio of pushes of so many frames, from the start of the audio on."""
        encoder, decoder, parts, hop = self.start_encoder(), self.start_decoder(), [], self.model.config.hop
        searched = min(self.model.bottleneck.num_codebooks, _CHECKED_CODEBOOKS)
        for pcm in torch.split(audio[: sum(pushes) * hop], [frames * hop for frames in pushes]):
            z, encoder = self._latents(pcm, encoder, plan)
            n = torch.full(z.shape[1:], searched, device=self.device)
            codes = self._search(z, n, plan)
            sound, decoder = self._audio(z, decoder, plan)
            parts.append((z, codes, sound))
        z, codes, sound = (torch.cat(pieces, dim=-1) for pieces in zip(*parts, strict=True))
        return z, codes, sound


def _agree(longer: tuple[Tensor, ...], shorter: tuple[Tensor, ...]) -> bool:
    """Whether tensors begin with the same bits as others."""
    return all(torch.equal(a[..., : b.shape[-1]], b) for a, b in zip(longer, shorter, strict=True))


def _fill(block: Tensor, size: int) -> Tensor:
    """Lengthen the last dimension to ``size`` with zeros, contiguous so that all blocks are aligned alike."""
    return torch.nn.functional.pad(block, (0, size - block.shape[-1])).contiguous()
