"""Beam search through codebooks, one after the other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.quantize.codebooks import runs_ahead
from codec.quantize.distances import Distances

# Distances that are held at a time: more do not fit the cache.
_HELD_NUMBERS = 1 << 20
# Products of other numbers of rows give other last bits.
_MULTIPLE = 8
# So many neighbouring words are looked at together before the best of these groups are looked into, which
# takes a third of the time of looking for the best words at once.
_GROUP = 64


@torch.no_grad()
def beam_search(distances: Distances, x: Tensor, limits: Tensor, beam: int) -> Tensor:
    """Codes ``[N, M]`` of x ``[N, D]``, found codebook by codebook with ``beam`` sums kept after each.

    Args:
        distances: of the codebooks.
        x: vectors.
        limits: codebooks to use ``[N]``; the codes beyond are -1.
        beam: at least 1.
    """
    numbers = beam * max(distances.words.shape[1:])
    rows = max(_MULTIPLE, _HELD_NUMBERS // numbers // _MULTIPLE * _MULTIPLE)
    blocks = zip(torch.split(x, rows), torch.split(limits, rows), strict=True)
    return torch.cat([_search_block(distances, *block, beam) for block in blocks])


def _search_block(distances: Distances, x: Tensor, limits: Tensor, beam: int) -> Tensor:
    """See `beam_search`: the answer for n codebooks is the best of the sums kept after n.

    The state of W sums for each of the N vectors that are not done: ``overshoot`` ``[N, W, D]``, ``score``
    ``[N, W]``, half the squared error but for what they share, and ``codes`` ``[N, W, M]``.
    """
    count = len(distances.words)
    answer = torch.full((len(x), count), -1, dtype=torch.int64, device=x.device)
    # On a GPU all codebooks are searched for all vectors, since to ask which are done takes longer.
    ahead = runs_ahead(x)
    ends = set(range(1, count + 1)) if ahead else set(limits.tolist())
    rows = torch.arange(len(x), device=x.device) if ahead else (limits > 0).nonzero().flatten()
    overshoot, score = -x[rows].unsqueeze(1), x.new_zeros(len(rows), 1)
    codes = answer[rows].unsqueeze(1)
    for index in range(max(ends, default=0)):
        distance = _distances_of_sums(distances, index, overshoot)
        score, parent, code = _best_children(distance, score, beam)
        codes = codes.flatten(0, 1).index_select(0, parent.flatten()).view(*parent.shape, count)
        codes[:, :, index] = code
        if ahead:
            answer = torch.where((limits == index + 1).unsqueeze(1), codes[:, 0], answer)
        elif index + 1 in ends:
            ended = limits.index_select(0, rows) == index + 1
            answer[rows[ended]] = codes[ended, 0]
            going_on = (~ended).nonzero().flatten()
            rows, score, parent, code, codes = (
                state.index_select(0, going_on) for state in (rows, score, parent, code, codes)
            )
        words = distances.words[index].index_select(0, code.flatten())
        overshoot = overshoot.flatten(0, 1).index_select(0, parent.flatten()).add_(words)
        overshoot = overshoot.view(*parent.shape, x.shape[1])
    return answer


def _distances_of_sums(distances: Distances, index: int, overshoot: Tensor) -> Tensor:
    """Distances ``[N, W, K]`` of the overshoots ``[N, W, D]`` of W sums each."""
    count, sums, dim = overshoot.shape
    flat = overshoot.reshape(-1, dim)
    if len(flat) % _MULTIPLE:
        flat = F.pad(flat, (0, 0, 0, -len(flat) % _MULTIPLE))
    return distances.of(index, flat)[: count * sums].view(count, sums, -1)


def _best_children(distance: Tensor, score: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best of all sums with all words: their scores, parents and codes, ``[N, min(beam, W K)]`` each.

    They lie in the groups with the least minima. To add the score to a minimum is to take the minimum of
    the sums, since rounding keeps the order.

    Args:
        distance: ``[N, W, K]``.
        score: of the sums, ``[N, W]``.
        beam: how many to keep.

    Returns:
        scores; parents as rows of the sums of all vectors, 0 to N W - 1; codes.
    """
    count, sums, words = distance.shape
    size = _GROUP if words % _GROUP == 0 else words
    groups = distance.view(count, sums, -1, size)
    minima = (groups.amin(dim=3) + score.unsqueeze(2)).flatten(1)
    least = minima.topk(min(beam, minima.shape[1]), dim=1, largest=False).indices
    each_sum = words // size
    sum_of = least // each_sum
    vectors = torch.arange(count, device=distance.device).unsqueeze(1)
    members = groups.view(-1, size).index_select(0, (vectors * minima.shape[1] + least).flatten())
    children = members.view(*least.shape, size) + score.gather(1, sum_of).unsqueeze(2)
    value, at = children.flatten(1).topk(min(beam, children[0].numel()), dim=1, largest=False)
    group = at // size
    parent = vectors * sums + sum_of.gather(1, group)
    first = (least - sum_of * each_sum).gather(1, group) * size
    return value, parent, first + (at - group * size)
