"""Product vector quantization: each codebook takes some of the numbers of a vector (Jégou et al. 2011)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codec.errors import CodecError
from codec.quantize.codebooks import fit_kmeans, nearest_words, sum_over_ranks
from codec.quantize.quantizer import VectorQuantizer

# How fast the means of what is not sent follow the vectors of a training.
_MEAN_SHARE = 0.01
_ROTATION_ROUNDS = 20
_ROTATED_ROWS = 64


class ProductVQ(VectorQuantizer):
    """The vector is cut into ``num_codebooks`` blocks, each with a codebook of words of ``dim / M`` numbers.

    `fit_kmeans` puts the blocks in the order of the energy that their codebooks explain, so that the first
    n codes of a vector are its coarser code; blocks that are not sent decode to their mean. With
    ``rotation`` it also learns an orthogonal matrix that the vectors go through first (OPQ,
    non-parametric: Ge et al. 2013), which stays as it is in training.

    All candidates are searched: any ``beam`` finds the same. It is taken so that one quantizer can stand in
    another's place.

    Buffers: ``order`` ``[M]``, the block that each codebook takes; ``means`` ``[M, D / M]``; with
    ``rotation``, ``rotation`` ``[D, D]``.
    """

    prefix_decodable = True

    order: Tensor
    means: Tensor
    rotation: Tensor | None

    def __init__(
        self,
        dim: int,
        num_codebooks: int,
        codebook_size: int,
        estimator: str = "nsvq",
        beam: int = 1,
        train_beam: int = 1,
        rotation: bool = False,
        replacement: str = "usage",
    ) -> None:
        if num_codebooks > 0 and dim % num_codebooks:
            raise CodecError(
                f"a product quantizer cuts vectors into equal blocks: {num_codebooks} codebooks"
                f" do not divide the {dim} numbers of a vector"
            )
        word_dim = dim // max(1, num_codebooks)
        sizes = (dim, num_codebooks, codebook_size, word_dim)
        super().__init__(*sizes, estimator, beam, train_beam, replacement)
        self.register_buffer("order", torch.arange(num_codebooks))
        self.register_buffer("means", torch.zeros(num_codebooks, word_dim))
        self.register_buffer("rotation", torch.eye(dim) if rotation else None)

    def _fit(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        self.order.copy_(torch.arange(self.num_codebooks))
        if self.rotation is not None:
            self._fit_rotation(x, iterations, generator)
        blocks = self._blocks(x)
        self.means.copy_(blocks.mean(dim=1))
        words = [fit_kmeans(block, self.codebook_size, iterations, generator) for block in blocks]
        explained = []
        for block, found, mean in zip(blocks, words, self.means, strict=True):
            error = (block - found[nearest_words(block, found)]).square().sum()
            explained.append((block - mean).square().sum() - error)
        order = torch.stack(explained).argsort(descending=True, stable=True)
        self.order.copy_(order)
        self.means.copy_(self.means[order])
        self.words.copy_(torch.stack(words)[order])

    def _search(self, x: Tensor, limits: Tensor, beam: int, training: bool) -> Tensor:
        blocks = self._blocks(x)
        if training:
            self._follow_means(blocks)
        codes = [nearest_words(block, words) for block, words in zip(blocks, self.words, strict=True)]
        columns = torch.arange(self.num_codebooks, device=x.device)
        return torch.where(columns < limits.unsqueeze(1), torch.stack(codes, dim=1), -1)

    def _profile(self, x: Tensor) -> tuple[Tensor, Tensor]:
        blocks = self._blocks(x)
        codes = [nearest_words(block, words) for block, words in zip(blocks, self.words, strict=True)]
        chosen = self._chosen(torch.stack(codes, dim=1)).transpose(0, 1)
        sent = (blocks - chosen).double().square().sum(dim=2)
        missing = (blocks - self.means.unsqueeze(1)).double().square().sum(dim=2)
        gained = torch.cat([missing.sum(dim=0, keepdim=True), sent - missing]).cumsum(dim=0)
        return torch.stack(codes, dim=1), gained.t()

    def _compose(self, chosen: Tensor, codes: Tensor) -> Tensor:
        count = codes.shape[1]
        sent = torch.where((codes >= 0).unsqueeze(-1), chosen, self.means[:count])
        rest = self.means[count:].expand(len(codes), -1, -1)
        whole = torch.cat([sent, rest], dim=1)[:, self.order.argsort()].flatten(1)
        return whole if self.rotation is None else _rotate(whole, self.rotation.t())

    def _targets(self, x: Tensor, chosen: Tensor) -> Tensor:
        return self._blocks(x).transpose(0, 1)

    def _blocks(self, x: Tensor) -> Tensor:
        """What each codebook takes of x ``[N, D]``: ``[M, N, D / M]``."""
        rotated = x if self.rotation is None else _rotate(x, self.rotation)
        blocks = rotated.view(len(x), self.num_codebooks, self.words.shape[2]).transpose(0, 1)
        return blocks[self.order]

    @torch.no_grad()
    def _follow_means(self, blocks: Tensor) -> None:
        """Move the means towards those of a batch, alike on all ranks; one that is not finite changes
        nothing."""
        total = sum_over_ranks(blocks.sum(dim=1))
        count = sum_over_ranks(torch.tensor(float(blocks.shape[1]), device=blocks.device))
        mean = total / count.clamp_min(1.0)
        share = torch.where(torch.isfinite(mean).all() & (count > 0), _MEAN_SHARE, 0.0)
        self.means += share * torch.nan_to_num(mean - self.means)

    def _fit_rotation(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        """Rotate by turns so that the words fit better: Procrustes with the words held, k-means with the
        rotation."""
        assert self.rotation is not None
        self.rotation.copy_(torch.eye(self.dim))
        blocks = self._blocks(x)
        words = [fit_kmeans(block, self.codebook_size, iterations, generator) for block in blocks]
        for _ in range(_ROTATION_ROUNDS):
            nearest = [nearest_words(block, found) for block, found in zip(blocks, words, strict=True)]
            values = [found[index] for found, index in zip(words, nearest, strict=True)]
            left, _, right = torch.linalg.svd(torch.cat(values, dim=1).t() @ x)
            self.rotation.copy_(left @ right)
            blocks = self._blocks(x)
            for block, found, index in zip(blocks, words, nearest, strict=True):
                counts = torch.bincount(index, minlength=len(found))
                sums = torch.zeros_like(found).index_add_(0, index, block)
                used = counts > 0
                found[used] = sums[used] / counts[used].unsqueeze(1)


def _rotate(x: Tensor, matrix: Tensor) -> Tensor:
    """Rows of x ``[N, D]`` times the transpose of a matrix, in products of one shape.

    Other numbers of rows give other last bits, and decoding is not done in fixed blocks.
    """
    padded = nn.functional.pad(x, (0, 0, 0, -len(x) % _ROTATED_ROWS))
    blocks = [nn.functional.linear(block, matrix) for block in torch.split(padded, _ROTATED_ROWS)]
    return torch.cat(blocks)[: len(x)]
