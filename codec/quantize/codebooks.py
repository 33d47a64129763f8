"""Care of codebooks: the k-means start, the usage of words, the replacement of words that nobody uses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from codec.errors import CodecError

Donors = Literal["usage", "split"]

# Vectors at a time whose distances to all words are held.
_BLOCK_ROWS = 16_384


def runs_ahead(x: Tensor) -> bool:
    """Whether x is on a device that works behind the program: a look at a value there makes both wait.

    A training step takes a GPU less time than the program needs to ask for it, so it must not look.
    """
    return x.device.type != "cpu"


def half_norms_of(words: Tensor) -> Tensor:
    """``|word|^2 / 2`` of words ``[..., D]``: ``[...]``."""
    # One pass over the words; squaring and summing them takes two.
    norms: Tensor = torch.linalg.vector_norm(words, dim=-1)
    return norms.square() / 2


def nearest_words(x: Tensor, words: Tensor, half_norms: Tensor | None = None) -> Tensor:
    """Indices ``[N]`` of the words ``[K, D]`` nearest to x ``[N, D]``; the lowest index wins a tie.

    ``half_norms`` are the precomputed ``|word|^2 / 2`` ``[K]``.
    """
    if half_norms is None:
        half_norms = half_norms_of(words)
    if x.shape[0] > _BLOCK_ROWS:
        return torch.cat([nearest_words(block, words, half_norms) for block in torch.split(x, _BLOCK_ROWS)])
    return smallest_of_rows(torch.addmm(half_norms, x, words.t(), alpha=-1))


def smallest_of_rows(values: Tensor) -> Tensor:
    """The column ``[N]`` of the smallest of each row of ``[N, K]``; the lowest wins a tie."""
    if values.device.type != "cpu" or values.dtype == torch.bfloat16:
        return values.argmin(dim=1)
    # numpy, which knows no bfloat16, follows the same rules in a tenth of the time.
    return torch.from_numpy(values.detach().numpy().argmin(axis=1))


def fit_kmeans(x: Tensor, num_words: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Lloyd's k-means: ``num_words`` centres ``[K, D]`` of the vectors x ``[N, D]``.

    Centres start at distinct vectors. A centre that loses all its vectors restarts at one drawn from x, so
    that each is in use.

    Raises:
        CodecError: there are fewer vectors than words, or values that are not finite.
    """
    if x.shape[0] < num_words:
        raise CodecError(
            f"k-means needs at least {num_words} vectors to start {num_words} words, not {x.shape[0]}"
        )
    if not torch.isfinite(x).all():
        raise CodecError("k-means needs finite vectors: the latents hold NaN or infinite values")
    x = x.float()
    start = torch.randperm(x.shape[0], generator=generator)[:num_words]
    centres = x[start.to(x.device)].clone()
    for _ in range(iterations):
        nearest = nearest_words(x, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        counts = torch.bincount(nearest, minlength=num_words)
        centres = sums / counts.clamp_min(1).unsqueeze(1)
        empty = (counts == 0).nonzero().flatten()
        if len(empty):
            draw = torch.randint(x.shape[0], (len(empty),), generator=generator)
            centres[empty] = x[draw.to(x.device)]
    return centres


class CodebookUsage(nn.Module):
    """Counts how often each word of each codebook was chosen since the last replacement.

    Buffers, so that counts are saved, moved and resumed with the model: ``counts`` ``[M, K]`` int64,
    ``rounds`` how many replacements
    there were (it seeds their draws, so that all ranks of a distributed run and a resumed run draw alike).
    """

    counts: Tensor
    rounds: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(num_codebooks, codebook_size, dtype=torch.int64))
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, codes: Tensor) -> None:
        """Count codes ``[N, M]``; -1 stands for a codebook that was not used.

        The ranks of a distributed run count together, all of them at the same time: counts are the same on
        all, so that one rank's checkpoint holds them and no rank replaces other words.
        """
        counted = torch.zeros_like(self.counts).t().contiguous()
        # Not bincount: it looks at its numbers first, which a GPU would be waited for.
        counted.scatter_add_(0, codes.clamp_min(0), (codes >= 0).to(counted.dtype))
        self.counts += sum_over_ranks(counted).t()

    @property
    def perplexity(self) -> Tensor:
        """The perplexity ``[M]`` of the counts so far: how many evenly used words would do the same."""
        return perplexity(self.counts)


class WordAverages(nn.Module):
    """Words as moving averages of what they stood for, as an alternative to gradients.

    van den Oord et al. 2017, appendix A.1: with n the number and s the sum of the vectors that chose a
    word in a batch, N <- 0.99 N + 0.01 n, S <- 0.99 S + 0.01 s, word = S / N. The numbers are smoothed by
    1e-5 within their codebook, so that none is divided by zero: a word that nobody chooses stays where it is
    for some hundred updates, then goes to the origin. Buffers: ``numbers`` ``[M, K]`` and ``sums``
    ``[M, K, d]``.
    """

    decay = 0.99
    smoothing = 1e-5

    numbers: Tensor
    sums: Tensor

    def __init__(self, words: Tensor) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.ones(words.shape[:2]))
        self.register_buffer("sums", words.detach().clone())

    @torch.no_grad()
    def restart(self, words: Tensor, index: int | slice = slice(None), rows: Tensor | None = None) -> None:
        """Take over words that were set from outside: ``rows`` of codebook ``index``, or all of them."""
        where = slice(None) if rows is None else rows
        self.numbers[index, where] = self.numbers[index].mean()
        self.sums[index, where] = words[index, where] * self.numbers[index, where].unsqueeze(-1)

    @torch.no_grad()
    def update(self, words: Tensor, targets: Tensor, codes: Tensor) -> None:
        """Follow one batch and set ``words`` ``[M, K, d]`` anew, alike on all ranks.

        Args:
            words: the codebooks, changed in place.
            targets: what the chosen words stood for ``[N, M, d]``; what is not finite is left out, since an
                average would keep it for good.
            codes: the choices ``[N, M]``; -1 counts for none.
        """
        size = words.shape[1]
        sent = (codes >= 0) & torch.isfinite(targets).all(dim=-1)
        flat = (codes + torch.arange(codes.shape[1], device=codes.device) * size)[sent]
        numbers = torch.zeros_like(self.numbers).view(-1)
        numbers.index_add_(0, flat, torch.ones_like(flat, dtype=numbers.dtype))
        sums = torch.zeros_like(self.sums).flatten(0, 1).index_add_(0, flat, targets[sent])
        self.numbers.lerp_(sum_over_ranks(numbers).view_as(self.numbers), 1.0 - self.decay)
        self.sums.lerp_(sum_over_ranks(sums).view_as(self.sums), 1.0 - self.decay)
        total = self.numbers.sum(dim=1, keepdim=True)
        smoothed = (self.numbers + self.smoothing) / (total + size * self.smoothing) * total
        words.copy_(self.sums / smoothed.unsqueeze(-1))


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum of a tensor over all ranks of a distributed run, in place; the tensor itself elsewhere."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value


def perplexity(counts: Tensor) -> Tensor:
    """exp(entropy) of the usage of each codebook: ``[..., K]`` counts to ``[...]``; 1 without counts."""
    share = counts / counts.sum(dim=-1, keepdim=True).clamp_min(1)
    value: Tensor = torch.special.entr(share).sum(dim=-1).exp()
    return value


@torch.no_grad()
def replace_unused(
    words: Tensor,
    usage: CodebookUsage,
    threshold: float,
    rows_per_word: int,
    donors: Donors = "usage",
) -> list[Tensor]:
    """Replace hardly used words by perturbed copies of used ones, after Vali and Bäckström 2022, III-C.

    There a word counts once a batch and all used words are copied alike; here every choice counts, and words
    are copied by their use.

    A codebook is judged once its words were chosen ``rows_per_word`` times on average, whatever the share of
    rows that reach it; its counts then start anew. Words chosen less often than ``threshold`` times the
    average become copies of others. A copy differs from its original by a hundredth of the size of the copied
    words: far below that, float32 would make the two equal for good.

    Args:
        words: codebooks ``[M, K, D]``, changed in place.
        usage: their counts.
        threshold: share of the average usage below which a word counts as unused.
        rows_per_word: how many rows a word must have been offered.
        donors: "usage" draws the words to copy by how often they were chosen; "split" takes the heaviest cell
            each time and counts its halves from there on as two.

    Returns:
        for each codebook the indices of its replaced words; their optimizer moments should be reset.
    """
    generator = torch.Generator().manual_seed(int(usage.rounds))
    usage.rounds += 1
    replaced = [torch.empty(0, dtype=torch.int64) for _ in range(words.shape[0])]
    for index, counts in enumerate(usage.counts.cpu()):
        average = counts.sum().item() / counts.numel()
        if average < rows_per_word:
            continue
        unused = (counts < threshold * average).nonzero().flatten()
        if len(unused):
            chosen = _donors(counts, unused, donors, generator)
            # Not their spread, which is zero where all used words have become one.
            scale = words[index, chosen].square().mean().sqrt()
            noise = torch.randn(len(unused), words.shape[-1], generator=generator).to(words)
            words[index, unused] = words[index, chosen] + 0.01 * scale * noise
            replaced[index] = unused
        usage.counts[index] = 0
    return replaced


def _donors(counts: Tensor, unused: Tensor, donors: Donors, generator: torch.Generator) -> Tensor:
    """For each unused word the index of a used one to copy."""
    weights = counts.double()
    weights[unused] = 0.0
    if donors == "usage":
        return torch.multinomial(weights, len(unused), replacement=True, generator=generator)
    return _heaviest_cells(weights, len(unused))


def _heaviest_cells(weights: Tensor, number: int) -> Tensor:
    """``number`` times the word whose cell is the heaviest, after the splits before it."""
    chosen = []
    for _ in range(number):
        heaviest = int(weights.argmax())
        weights[heaviest] /= 2
        chosen.append(heaviest)
    return torch.tensor(chosen)
