"""The streaming engine: a model on frames as they come, with equal bits for every way of cutting them.

A matrix product may give other last bits for other numbers of rows. So frames go through the networks in
blocks whose row counts were found to agree on this machine; if none agree, every frame goes alone through one
fixed shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from codec.conceal import Landmarks
from codec.model import CodecModel
from codec.nn.layers import State

_FILE_ROWS = 64
_LIVE_ROWS = 8
# From here on one large block, filled up, takes less time than several small ones.
_WORTH_FILLING = 24


@dataclass(frozen=True)
class RowPlan:
    """How a run of frames is cut into blocks for the networks.

    ``rows`` are the block sizes that give equal bits, largest first; a block is filled up with frames that
    mean nothing. ``alone`` puts one real frame into each block.
    """

    rows: tuple[int, ...]
    alone: bool

    def blocks(self, frames: int) -> list[tuple[int, int]]:
        """Pairs (real frames, rows) that cover ``frames`` in order."""
        if self.alone:
            return [(1, self.rows[-1])] * frames
        plan = []
        while frames:
            rows = self.rows[0] if frames > _WORTH_FILLING else self.rows[-1]
            plan.append((min(frames, rows), rows))
            frames -= plan[-1][0]
        return plan


_FAST_PLAN = RowPlan((_FILE_ROWS, _LIVE_ROWS), alone=False)
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
            plans[threads] = _FAST_PLAN if self._rows_agree() else _SAFE_PLAN
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
        for frames, rows in self.check_rows().blocks(z.shape[1]):
            block = _fill(z[:, at : at + frames], rows)
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

    def synthesize(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes ``[M, F]`` to audio ``[F * hop]``, the decoder's delay late, and the state after it."""
        return self.play(self.dequantize(codes), state)

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
    def _rows_agree(self) -> bool:
        """Whether frames give the same bits in large blocks, in small ones however full, and one by one."""
        generator = torch.Generator().manual_seed(0)
        frames = _FILE_ROWS + 3
        audio = (0.1 * torch.randn(frames * self.model.config.hop, generator=generator)).to(self.device)
        part_full = list(range(1, _LIVE_ROWS))
        large = self._code(audio, [frames], _FAST_PLAN)
        small = self._code(audio, [*part_full, frames - sum(part_full)], RowPlan((_LIVE_ROWS,), alone=False))
        single = self._code(audio[: 12 * self.model.config.hop], [12], _SAFE_PLAN)
        return all(
            torch.equal(a, b) and torch.equal(a[..., : c.shape[-1]], c)
            for a, b, c in zip(large, small, single, strict=True)
        )

    def _code(self, audio: Tensor, pushes: list[int], plan: RowPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, codes of all codebooks and decoded audio of pushes of so many frames."""
        encoder, decoder, parts = self.start_encoder(), self.start_decoder(), []
        for pcm in torch.split(audio, [frames * self.model.config.hop for frames in pushes]):
            z, encoder = self._latents(pcm, encoder, plan)
            n = torch.full(z.shape[1:], self.model.bottleneck.num_codebooks, device=self.device)
            codes = self._search(z, n, plan)
            sound, decoder = self._audio(z, decoder, plan)
            parts.append((z, codes, sound))
        z, codes, sound = (torch.cat(pieces, dim=-1) for pieces in zip(*parts, strict=True))
        return z, codes, sound


def _fill(block: Tensor, size: int) -> Tensor:
    """Lengthen the last dimension to ``size`` with zeros, contiguous so that all blocks are aligned alike."""
    return torch.nn.functional.pad(block, (0, size - block.shape[-1])).contiguous()
