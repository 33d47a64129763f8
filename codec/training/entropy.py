"""Fits a model's entropy tables: a small network on its codes, rounded to integers at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.bitstream.codes import Codes
from codec.bitstream.rangecoder import TOTAL
from codec.bitstream.tables import (
    ACTIVATION_LIMIT,
    FEATURE_LIMIT,
    LOGIT_LIMIT,
    LOGIT_UNIT,
    MAX_SUM,
    EntropyTables,
    Integers,
    starts_of,
)
from codec.errors import UsageError
from codec.quantize.bottleneck import Bottleneck

FEATURES = 32
PAST_INNER = 128
PAST_OUTER = 48
HIDDEN = 64

_BATCH = 2048
_RATE = 4e-3
_LEAST_STEPS = 300
# So many frames are fitted as the first of a payload, which live packets of one frame all are.
_FIRST_SHARE = 0.1
_NODE_DECAY = 1e-4
_UPPER_LEVELS = 6
# What a change of the number of codebooks has in place of the 2**16 of staying, in all.
_CHANGE_SHARE = 1 << 13


def fit_tables(bottleneck: Bottleneck, codes: Sequence[Codes], epochs: float = 4.0) -> EntropyTables:
    """Fits tables to codes ``[M, F]`` of clips, of real sound and many voices; the same on every run.

    The tree over the words of a codebook splits them by their principal axis, again and again. A decision in
    it is a logistic regression (as in Morin and Bengio 2005, "Hierarchical probabilistic neural network
    language model") on a small network's view of the frame before and of the codes before it in its frame.

    Raises:
        UsageError: the codes are of another model, or fewer than two frames.
    """
    count, words = bottleneck.num_codebooks, bottleneck.codebook_size
    for clip in codes:
        if clip.ndim != 2 or len(clip) != count or (clip.size and not -1 <= clip.min() <= clip.max() < words):
            raise UsageError(f"codes must be [{count}, frames] of 0..{words - 1}, not {list(clip.shape)}")
    frames, before = _pairs(codes)
    if len(frames) < 2:
        raise UsageError("entropy tables need clips of at least two frames")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _Network(_contributions(bottleneck))
        _train(network, frames, before, epochs)
    return _rounded(network, frames, before)


def _pairs(codes: Sequence[Codes]) -> tuple[Tensor, Tensor]:
    """All frames ``[N, M]`` of clips, and for each the one before, -1 at the start of a clip."""
    frames = [torch.from_numpy(clip.T.astype(np.int64)) for clip in codes]
    first = [torch.full_like(clip[:1], -1) for clip in frames]
    pasts = [torch.cat([none, clip[:-1]])[: len(clip)] for none, clip in zip(first, frames, strict=True)]
    return torch.cat(frames), torch.cat(pasts)


@torch.no_grad()
def _contributions(bottleneck: Bottleneck) -> Tensor:
    """What each word adds to a latent ``[M, K, D]``, but for what the latent holds without any."""
    count, words = bottleneck.num_codebooks, bottleneck.codebook_size
    codes = torch.full((count * words, count), -1)
    index = torch.arange(count * words)
    codes[index, index // words] = index % words
    device = next(bottleneck.parameters()).device
    latents = bottleneck.decode(codes.T[None].to(device))[0].T.cpu().float()
    empty = bottleneck.decode(torch.full((1, count, 1), -1, device=device))[0].T.cpu().float()
    return (latents - empty).view(count, words, -1)


def _tree_order(vectors: NDArray[np.float64]) -> list[int]:
    """The words ``[K, D]`` in the order of their leaves: halves by the principal axis, and their halves."""

    def order(rows: NDArray[np.int64]) -> list[int]:
        """Some of the words in that order."""
        if len(rows) == 1:
            return [int(rows[0])]
        centred = vectors[rows] - vectors[rows].mean(axis=0)
        axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        rows = rows[np.argsort(centred @ axis, kind="stable")]
        middle = len(rows) // 2
        return order(rows[:middle]) + order(rows[middle:])

    return order(np.arange(len(vectors)))


class _Network(nn.Module):
    """The tables' network in floats; its layers bear the names of the tables.

    Args:
        contributions: of the words, ``[M, K, D]``.
    """

    def __init__(self, contributions: Tensor) -> None:
        super().__init__()
        count, words, dim = contributions.shape
        width = min(FEATURES, dim)
        self.words = contributions / contributions.square().sum(dim=2).mean(dim=1).sum().sqrt().clamp_min(
            1e-9
        )
        self.leaves = torch.zeros(count, words, dtype=torch.int64)
        for codebook, vectors in enumerate(contributions.double().numpy()):
            self.leaves[codebook, _tree_order(vectors)] = torch.arange(words)
        levels = torch.arange(words.bit_length() - 1)
        places = torch.arange(words).unsqueeze(1)
        self.path = (1 << levels) - 1 + (places >> (len(levels) - levels))
        self.goes_left = 1 - 2 * ((places >> (len(levels) - 1 - levels)) & 1)
        scatter = sum(rows.T @ rows for rows in self.words)
        axes = torch.linalg.eigh(scatter)[1].flip(1)[:, :width]
        self.projection = nn.Parameter(axes * math.sqrt(dim))
        self.past_in = nn.Linear(width, PAST_INNER)
        self.past_out = nn.Linear(PAST_INNER, PAST_OUTER)
        inputs = PAST_OUTER + width
        self.hidden_weight = nn.Parameter(torch.randn(count, HIDDEN, inputs) / math.sqrt(inputs))
        self.hidden_bias = nn.Parameter(torch.zeros(count, HIDDEN))
        self.node_weight = nn.Parameter(0.02 * torch.randn(count, words - 1, HIDDEN))
        self.node_bias = nn.Parameter(torch.zeros(count, words - 1))

    def features(self) -> Tensor:
        """What the words add to the features of their frame, ``[M, K, d]``."""
        return self.words @ self.projection

    def activations(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of frames ``[B, M]`` what past_in ``[B, t]``, past_out ``[B, q]`` and hidden ``[M, B, r]`` give."""
        features = self.features()
        inner = F.relu(self.past_in(self._look_up(features, before).sum(dim=1)))
        outer = F.relu(self.past_out(inner))
        words = self._look_up(features, frames)
        earlier = (words.cumsum(dim=1) - words).transpose(0, 1)
        inputs = torch.cat([outer.expand(len(earlier), -1, -1), earlier], dim=2)
        return (
            inner,
            outer,
            F.relu(torch.baddbmm(self.hidden_bias.unsqueeze(1), inputs, self.hidden_weight.mT)),
        )

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        """What the codes of frames ``[B, M]`` take, in nats ``[M, B]``, after the frames before them."""
        _, _, hidden = self.activations(frames, before)
        leaves = self.leaves[torch.arange(frames.shape[1]).unsqueeze(1), frames.T.clamp_min(0)]
        logits = self._logits(hidden, self.path[leaves]) * self.goes_left[leaves]
        return F.softplus(-logits).sum(dim=2) * (frames.T >= 0)

    def _logits(self, hidden: Tensor, nodes: Tensor) -> Tensor:
        """Of ``[M, B, r]`` at the nodes ``[M, B, b]`` on the way to a word."""
        count, size, width = self.node_weight.shape
        rows = nodes + size * torch.arange(count).view(-1, 1, 1)
        # The few nodes of the upper levels are computed all, which is quicker than to gather their weights.
        upper = min(_UPPER_LEVELS, nodes.shape[2])
        above = self.node_weight[:, : (1 << upper) - 1]
        first = (hidden @ above.mT).gather(2, nodes[..., :upper])
        weight = F.embedding(rows[..., upper:], self.node_weight.view(-1, width))
        rest = (weight @ hidden.unsqueeze(3)).squeeze(3)
        return torch.cat([first, rest], dim=2) + self.node_bias.flatten()[rows]

    @staticmethod
    def _look_up(features: Tensor, codes: Tensor) -> Tensor:
        """The features ``[B, M, d]`` of codes ``[B, M]``, zero where not sent."""
        rows = codes.clamp_min(0) + features.shape[1] * torch.arange(codes.shape[1])
        return F.embedding(rows, features.flatten(0, 1)) * (codes >= 0).unsqueeze(2)


def _train(network: _Network, frames: Tensor, before: Tensor, epochs: float) -> None:
    """Adam with one cycle of the learning rate; frames before send a random number of their codebooks."""
    steps = max(_LEAST_STEPS, int(epochs * len(frames) / _BATCH))
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.15)
    count = frames.shape[1]
    rows = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(rows) < min(_BATCH, len(frames)):
            rows = torch.cat([rows, torch.randperm(len(frames))])
        batch, rows = rows[:_BATCH], rows[_BATCH:]
        sent = torch.randint(1, count + 1, (len(batch), 1)) * (torch.rand(len(batch), 1) >= _FIRST_SHARE)
        past = torch.where(torch.arange(count) < sent, before[batch], -1)
        loss = network(frames[batch], past).mean(dim=1).sum()
        loss = loss + _NODE_DECAY * network.node_weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _rounded(network: _Network, frames: Tensor, before: Tensor) -> EntropyTables:
    """The integers nearest to a network, whose activations on some frames fill their range."""
    some = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))[: 4 * _BATCH]
    inner, outer, hidden = network.activations(frames[some].clamp_min(0), before[some])
    features = network.features()
    feature_scale = 127.0 / float(features.abs().max().clamp_min(1e-9))
    scales = [ACTIVATION_LIMIT / float(part.max().clamp_min(1e-6)) for part in (inner, outer)]
    count = len(features)
    hidden_scales = (ACTIVATION_LIMIT / hidden.amax(dim=(1, 2)).clamp_min(1e-6)).tolist()
    past_in = _layer(network.past_in.weight, network.past_in.bias, feature_scale, scales[0], 15)
    past_out = _layer(network.past_out.weight, network.past_out.bias, scales[0], scales[1], 15)
    inputs = torch.cat(
        [torch.full((PAST_OUTER,), scales[1]), torch.full((features.shape[2],), feature_scale)]
    )
    hiddens = [
        _layer(network.hidden_weight[m], network.hidden_bias[m], inputs, hidden_scales[m], 15)
        for m in range(count)
    ]
    nodes = [
        _layer(network.node_weight[m], network.node_bias[m], hidden_scales[m], float(LOGIT_UNIT), 7)
        for m in range(count)
    ]
    return EntropyTables(
        leaves=network.leaves.numpy().astype(np.uint16),
        features=(features * feature_scale).round().numpy().astype(np.int8),
        past_in_weight=past_in[0].astype(np.int16),
        past_in_bias=past_in[1],
        past_out_weight=past_out[0].astype(np.int16),
        past_out_bias=past_out[1],
        hidden_weight=np.stack([weight for weight, _, _ in hiddens]).astype(np.int16),
        hidden_bias=np.stack([bias for _, bias, _ in hiddens]),
        node_weight=np.stack([weight for weight, _, _ in nodes]).astype(np.int8),
        node_bias=np.stack([bias for _, bias, _ in nodes]),
        shifts=np.array(
            [past_in[2], past_out[2], *(s for _, _, s in hiddens), *(s for _, _, s in nodes)], np.uint8
        ),
        left=_left_probabilities(),
        counts=_count_starts(count),
    )


def _layer(
    weight: Tensor, bias: Tensor, from_scale: float | Tensor, to_scale: float, bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """Integers of a layer ``[outputs, inputs]`` and its shift: as fine as `bits` and exact sums allow.

    from_scale, to_scale: what 1.0 is at its inputs and outputs.
    """
    exact = (weight * (to_scale / torch.as_tensor(from_scale))).double()
    offset = (bias * to_scale).double()
    # A feature may be four times an activation; their sums are what the bound is about.
    bound = float((exact.abs().sum(dim=1) * FEATURE_LIMIT + offset.abs()).max()) + 1.0
    largest = max(float(exact.abs().max()), 1e-9)
    shift = min(math.floor(math.log2((1 << bits) / largest)), math.floor(math.log2(MAX_SUM / bound)))
    shift = min(max(shift, 0), 20)
    top = (1 << bits) - 1
    integers = (exact * 2.0**shift).round().clamp(-top, top)
    biases = (offset * 2.0**shift + 0.5 * 2.0**shift).floor()
    return integers.numpy().astype(np.int64), biases.numpy().astype(np.int32), shift


def _left_probabilities() -> NDArray[np.uint16]:
    logits = (np.arange(2 * LOGIT_LIMIT) - LOGIT_LIMIT + 0.5) / LOGIT_UNIT
    chances: NDArray[np.uint16] = np.clip(np.round(TOTAL / (1.0 + np.exp(-logits))), 1, TOTAL - 1).astype(
        np.uint16
    )
    return chances


def _count_starts(num_codebooks: int) -> NDArray[np.uint16]:
    """Intervals of the next number of codebooks: mostly the same, near ones sooner than far ones."""
    numbers = np.arange(num_codebooks + 1)
    distance = np.abs(numbers - numbers[:, None])
    share = np.where(distance > 0, 1.0 / np.maximum(distance, 1), 0.0)
    share *= (_CHANGE_SHARE - num_codebooks) / share.sum(axis=1, keepdims=True)
    sizes: Integers = np.where(distance > 0, 1 + share.astype(np.int64), 0)
    sizes[numbers, numbers] = TOTAL - sizes.sum(axis=1)
    first = np.full(num_codebooks + 1, TOTAL // (num_codebooks + 1))
    first[0] += TOTAL - first.sum()
    return starts_of(np.concatenate([sizes, first[None]]))
