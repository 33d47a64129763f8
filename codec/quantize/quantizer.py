"""What all vector quantizers share: codebooks, their care, the training pass on vectors ``[N, D]``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, get_args

import torch
from torch import Tensor, nn

from codec.errors import CodecError
from codec.quantize.codebooks import (
    CodebookUsage,
    Donors,
    WordAverages,
    replace_unused,
    runs_ahead,
)
from codec.quantize.estimators import (
    COMMITMENT_WEIGHT,
    check_estimator,
    diveq,
    nsvq,
    rotation,
    stage_losses,
    straight_through,
)
from codec.quantize.kept import Kept
from codec.quantize.subspace import Subspace

# Vectors at a time in coding, a multiple of 8: the memory beside the vectors and their codes does not grow
# with them.
_BLOCK_ROWS = 4096


class Quantized(NamedTuple):
    """What a training pass gives, of vectors ``[N, D]`` or of latents ``[B, D, F]``.

    ``z_q`` has the shape of the input and goes to the decoder, ``codes`` are ``[N, M]`` or ``[B, M, F]``
    int64 with -1 where not sent, ``loss`` is a scalar to add (exactly zero for NSVQ and DiVeQ), ``stats``
    are detached scalars to log.
    """

    z_q: Tensor
    codes: Tensor
    loss: Tensor
    stats: dict[str, Tensor]


class VectorQuantizer(nn.Module, ABC):
    """``num_codebooks`` codebooks, one parameter ``words`` ``[M, K, d]``, for vectors of ``dim`` numbers.

    ``forward`` is the training pass, ``encode`` and ``decode`` the hard rule; there are no modes.

    Args:
        dim: numbers in a vector, D.
        num_codebooks: M.
        codebook_size: words in a codebook, K; any number from 2 on.
        word_dim: numbers in a word, d.
        estimator: how gradients pass in training: "nsvq", "ste", "ema", "rotation" or "diveq".
        beam: candidates that `encode` keeps; where there are fewer, it keeps all.
        train_beam: the same in training.
        replacement: which words are copied over unused ones, see `codec.quantize.codebooks.replace_unused`.

    Raises:
        CodecError: a size or a name is wrong.
    """

    prefix_decodable: ClassVar[bool]

    def __init__(
        self,
        dim: int,
        num_codebooks: int,
        codebook_size: int,
        word_dim: int,
        estimator: str,
        beam: int,
        train_beam: int,
        replacement: str,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("dim", dim, 1),
            ("num_codebooks", num_codebooks, 1),
            ("codebook_size", codebook_size, 2),
            ("beam", beam, 1),
            ("train_beam", train_beam, 1),
        ):
            if value < least:
                raise CodecError(f"{name} must be at least {least}, not {value}")
        if replacement not in get_args(Donors):
            raise CodecError(f"unknown replacement {replacement!r}, known are {', '.join(get_args(Donors))}")
        self.dim, self.num_codebooks, self.codebook_size = dim, num_codebooks, codebook_size
        self.estimator = check_estimator(estimator)
        self.beam, self.train_beam = beam, train_beam
        self.replacement: Donors = replacement  # type: ignore[assignment]
        scale = torch.logspace(0, -1, num_codebooks) if num_codebooks > 1 else torch.ones(1)
        self.words = nn.Parameter(torch.randn(num_codebooks, codebook_size, word_dim) * scale.view(-1, 1, 1))
        self.usage = CodebookUsage(num_codebooks, codebook_size)
        self.averages = WordAverages(self.words) if estimator == "ema" else None
        self._subspace = Kept(Subspace)

    def forward(self, x: Tensor, n: Tensor | None = None) -> Quantized:
        """The training pass: search, count the usage, and let gradients through by the estimator.

        NSVQ and DiVeQ act once on the total error; the others add the losses of :func:`stage_losses`, the
        moving averages only that of commitment. Values that are not finite pass through, for the training
        loop to notice.

        Args:
            x: vectors ``[N, D]``.
            n: codebooks for each of them ``[N]``, or None for all.
        """
        self._check_shape(x)
        codes = self._search(x.detach(), self._limits(n, x, training=True), self.train_beam, training=True)
        self.usage.add(codes)
        quantized = self._decode(codes)
        loss = quantized.new_zeros(())
        if self.estimator == "nsvq":
            z_q = nsvq(x, quantized)
        elif self.estimator == "diveq":
            z_q = diveq(x, quantized)
        else:
            passes = rotation if self.estimator == "rotation" else straight_through
            z_q = passes(x, quantized)
            words = self._chosen(codes)
            targets = self._targets(x, words.detach())
            codebook, commitment = stage_losses(targets, words, codes >= 0)
            loss = COMMITMENT_WEIGHT * commitment
            if self.averages is None:
                loss = loss + codebook
            else:
                self.averages.update(self.words, targets.detach(), codes)
        with torch.no_grad():
            error = (x - quantized).square().mean() / x.square().mean().clamp_min(1e-12)
        return Quantized(z_q, codes, loss, {"latent_error": error})

    @torch.no_grad()
    def encode(self, x: Tensor, n: int | Tensor | None = None) -> Tensor:
        """Codes ``[N, M]`` int64 of vectors x ``[N, D]``; -1 from codebook ``n`` on.

        Args:
            x: vectors.
            n: codebooks to use: one number from 0 to M, one for each vector ``[N]``, or None for all.

        Raises:
            CodecError: n is out of range, or x is of another width or not finite.
        """
        limits = self._limits(n, x)
        self._check_shape(x)
        codes = []
        for block, some in zip(torch.split(x, _BLOCK_ROWS), torch.split(limits, _BLOCK_ROWS), strict=True):
            self._check_finite(block)
            codes.append(self._search(block.float(), some, self.beam, training=False))
        return torch.cat(codes)

    @torch.no_grad()
    def quantize(self, x: Tensor, n: Tensor | None = None) -> Tensor:
        """What the codes of vectors x ``[N, D]`` decode to, ``n`` ``[N]`` codebooks of each: ``[N, D]``.

        For training: no value is looked at, which a GPU would have to be waited for, and values that are not
        finite pass through.
        """
        limits = self._limits(n, x, training=True)
        return self._decode(self._search(x.float(), limits, self.beam, training=True))

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors ``[N, D]`` of codes ``[N, M]`` or of their first columns; -1 stands for not sent.

        Differentiable with respect to the codebooks.

        Raises:
            CodecError: a code is out of range.
        """
        low, high = (int(codes.min()), int(codes.max())) if codes.numel() else (0, 0)
        if codes.shape[1] > self.num_codebooks or low < -1 or high >= self.codebook_size:
            raise CodecError(
                f"codes must lie below {self.codebook_size} in at most {self.num_codebooks} codebooks"
            )
        return self._decode(codes)

    @torch.no_grad()
    def profile(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How the error of vectors x ``[N, D]`` falls from codebook to codebook: what a rate control weighs.

        One greedy pass over all codebooks. For a search that is better or works in another order it is an
        estimate, from above.

        Returns:
            codes ``[N, M]`` of that pass, and the mean square error ``[N, M + 1]`` float64 with the first n
            of them, which never rises. What words have outside of the directions that are searched is left
            out of it: less than 2 % of the error of a frame with speech_16k_6.
        """
        self._check_shape(x)
        codes, left = self._profile(x.float())
        return codes, (left / self.dim).cummin(dim=1).values

    @torch.no_grad()
    def fit_kmeans(self, x: Tensor, iterations: int = 10, seed: int = 0) -> None:
        """Start the codebooks by k-means on vectors x ``[N, D]``.

        Constant vectors are no error: all words become that vector, or zero where a codebook before it has
        taken all.

        Raises:
            CodecError: fewer vectors than words, or x is of another width or not finite.
        """
        self._check_shape(x)
        self._check_finite(x)
        self._fit(x.float(), iterations, torch.Generator().manual_seed(seed))
        if self.averages is not None:
            self.averages.restart(self.words)

    @torch.no_grad()
    def replace_unused(self, threshold: float, rows_per_word: int) -> list[Tensor]:
        """Replace hardly used words, whatever the estimator; see `codec.quantize.codebooks.replace_unused`.

        To be left out near the end of a training, since a replaced word needs steps to find its place.
        """
        replaced = replace_unused(self.words, self.usage, threshold, rows_per_word, self.replacement)
        if self.averages is not None:
            for index, rows in enumerate(replaced):
                self.averages.restart(self.words, index, rows)
        return replaced

    @abstractmethod
    def _fit(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        """Set the words from finite vectors ``[N, D]``."""

    @abstractmethod
    def _search(self, x: Tensor, limits: Tensor, beam: int, training: bool) -> Tensor:
        """Codes ``[N, M]`` of x ``[N, D]`` with ``limits`` ``[N]`` codebooks.

        Unless ``training``, the codes of a vector may not depend on the vectors beside it, as far as
        matrix products allow for numbers of rows that are multiples of 8.
        """

    def _decode(self, codes: Tensor) -> Tensor:
        """`decode` without a look at the codes."""
        blocks = torch.split(codes, _BLOCK_ROWS)
        return torch.cat([self._compose(self._chosen(block), block) for block in blocks])

    def _profile(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Greedy codes ``[N, M]`` and the squared errors ``[N, M + 1]`` float64 that their prefixes leave, as
        far as the directions show that are searched."""
        space = self._subspace.of(self.words)
        words_at, overshoot = space.distances, -space.project(x)
        outside = _energy(x) - _energy(overshoot)
        codes, left = [], [_energy(x)]
        for index, words in enumerate(words_at.words):
            codes.append(words_at.nearest(index, overshoot))
            overshoot = words.index_select(0, codes[-1]).add_(overshoot)
            left.append(_energy(overshoot) + outside)
        return torch.stack(codes, dim=1), torch.stack(left, dim=1)

    @abstractmethod
    def _compose(self, chosen: Tensor, codes: Tensor) -> Tensor:
        """Vectors ``[N, D]`` of the words ``[N, m, d]`` of the first m codebooks, zero where not sent."""

    @abstractmethod
    def _targets(self, x: Tensor, chosen: Tensor) -> Tensor:
        """What each codebook should have given, with the words ``[N, M, d]`` of the others as they are."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        # A release holds the words alone: averages that began elsewhere would undo them in one step.
        if self.averages is not None and f"{prefix}averages.sums" not in state_dict:
            self.averages.restart(self.words)

    def _chosen(self, codes: Tensor) -> Tensor:
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.codebook_size
        chosen = nn.functional.embedding(codes.clamp_min(0) + offsets, self.words.flatten(0, 1))
        return torch.where((codes >= 0).unsqueeze(-1), chosen, 0.0)

    def _limits(self, n: int | Tensor | None, x: Tensor, training: bool = False) -> Tensor:
        limits = torch.as_tensor(self.num_codebooks if n is None else n, device=x.device).expand(x.shape[0])
        if training and runs_ahead(x):
            return limits
        if len(limits) and not 0 <= int(limits.min()) <= int(limits.max()) <= self.num_codebooks:
            raise CodecError(f"the number of codebooks must lie between 0 and {self.num_codebooks}")
        return limits

    def _check_shape(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise CodecError(f"vectors must be [N, {self.dim}], not {list(x.shape)}")

    @staticmethod
    def _check_finite(x: Tensor) -> None:
        if not torch.isfinite(x).all():
            raise CodecError("vectors to quantize must be finite: these hold NaN or infinite values")


def _energy(x: Tensor) -> Tensor:
    return x.double().square().sum(dim=1)


def sum_words(chosen: Tensor) -> Tensor:
    """The sum ``[N, D]`` of words ``[N, m, D]``.

    They are added in codebook order, so that rows do not depend on each other.
    """
    total = chosen.new_zeros(chosen.shape[0], chosen.shape[2])
    for word in chosen.unbind(1):
        total = total + word
    return total
