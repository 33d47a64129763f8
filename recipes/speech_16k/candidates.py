"""Ideas that the codec does not have, each as a model that ablate.py trains beside the codec's own.

What wins there moves into `codec`; until then nothing but the ablations uses any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codec.config import CodecConfig, SpectralConfig
from codec.errors import CodecError
from codec.model import CodecModel
from codec.nn.layers import DepthwiseConv
from codec.quantize.bottleneck import Bottleneck, Quantized
from codec.quantize.codebooks import fit_kmeans, smallest_of_rows
from codec.quantize.estimators import COMMITMENT_WEIGHT, straight_through
from codec.quantize.quantizer import VectorQuantizer

Build = Callable[[CodecConfig], CodecModel]

# Numbers in a word of DAC, and its weights relative to that of its mel loss.
_WORD_DIM, _DAC_CODEBOOK, _DAC_COMMITMENT = 8, 1.0 / 15.0, 0.25 / 15.0
# Frames after which a prediction starts anew, as many as a training segment of a second has.
_BLOCK_FRAMES = 50
_DISTILLATION_WEIGHT = 0.3
DISTILLED = "distilled"


class Unnormalized(CodecModel):
    """Latents as free in scale as the encoder likes."""

    def normalize(self, z: Tensor) -> Tensor:
        """z as it is, in float32."""
        return z.float()


class Committing(Bottleneck):
    """Holds the latents near their words by the commitment loss of VQ-VAE, whatever the estimator."""

    def forward(self, z: Tensor, n: Tensor | None = None) -> Quantized:
        """See :class:`codec.quantize.bottleneck.Bottleneck`."""
        quantized = super().forward(z, n)
        given = self.decode(quantized.codes).detach()
        return _add_loss(quantized, COMMITMENT_WEIGHT * (z.float() - given).square().mean())


class FactorizedVQ(VectorQuantizer):
    """Residual codebooks of short words, found by the cosine, each between two projections of its own.

    As in DAC (Kumar et al. 2023, section 3.2): a stage projects what is left to 8 numbers, takes the word
    nearest in direction, and projects that back. Gradients pass straight through. The search is greedy.
    """

    prefix_decodable = True

    def __init__(self, dim: int, num_codebooks: int, codebook_size: int) -> None:
        super().__init__(dim, num_codebooks, codebook_size, _WORD_DIM, "ste", 1, 1, "usage")
        # A start by k-means needs stages that take energy away; with random projections each adds some.
        bases = torch.stack([torch.linalg.qr(torch.randn(dim, _WORD_DIM)).Q for _ in range(num_codebooks)])
        self.down = nn.Parameter(bases)
        self.up = nn.Parameter(bases.transpose(1, 2).clone())

    def forward(self, x: Tensor, n: Tensor | None = None) -> Quantized:
        """The training pass, with DAC's losses."""
        limits = self._limits(n, x, training=True)
        left, codes, loss = x, [], x.new_zeros(())
        for index in range(self.num_codebooks):
            sent = limits > index
            low = left @ self.down[index]
            code = self._nearest(low.detach(), index)
            word = self.words[index][code]
            losses = _DAC_COMMITMENT * (low - word.detach()).square()
            losses = losses + _DAC_CODEBOOK * (low.detach() - word).square()
            loss = loss + (losses.mean(dim=1) * sent).mean()
            left = left - torch.where(sent[:, None], straight_through(low, word) @ self.up[index], 0.0)
            codes.append(torch.where(sent, code, -1))
        self.usage.add(torch.stack(codes, dim=1))
        error = left.detach().square().mean() / x.detach().square().mean().clamp_min(1e-12)
        return Quantized(x - left, torch.stack(codes, dim=1), loss, {"latent_error": error})

    @torch.no_grad()
    def _fit(self, x: Tensor, iterations: int, generator: torch.Generator) -> None:
        left = x
        for index in range(self.num_codebooks):
            low = left @ self.down[index]
            self.words[index] = fit_kmeans(low, self.codebook_size, iterations, generator)
            left = left - self.words[index][self._nearest(low, index)] @ self.up[index]

    @torch.no_grad()
    def _search(self, x: Tensor, limits: Tensor, beam: int, training: bool) -> Tensor:
        left, codes = x, []
        for index in range(self.num_codebooks):
            code = self._nearest(left @ self.down[index], index)
            left = left - self.words[index][code] @ self.up[index]
            codes.append(torch.where(limits > index, code, -1))
        return torch.stack(codes, dim=1)

    def _compose(self, chosen: Tensor, codes: Tensor) -> Tensor:
        return torch.einsum("nmw,mwd->nd", chosen, self.up[: chosen.shape[1]])

    def _targets(self, x: Tensor, chosen: Tensor) -> Tensor:
        raise NotImplementedError("the stages have losses of their own")

    def _nearest(self, low: Tensor, index: int) -> Tensor:
        likeness = F.normalize(low, dim=1) @ F.normalize(self.words[index].detach(), dim=1).t()
        return smallest_of_rows(-likeness)


class Predicting(Bottleneck):
    """Codes what a prediction from the quantized frames before leaves of each latent.

    As in TF-Codec (Jiang et al. 2023, arXiv 2207.08363), by a GRU. Where frames are coded for good, it starts
    anew every 50 frames, as blocks of a bitstream have to.
    """

    def __init__(self, quantizer: VectorQuantizer) -> None:
        super().__init__(quantizer)
        self.cell = nn.GRUCell(self.dim, 2 * self.dim)
        self.predict = nn.Linear(2 * self.dim, self.dim)
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(self.predict.bias)

    def forward(self, z: Tensor, n: Tensor | None = None) -> Quantized:
        """See :class:`codec.quantize.bottleneck.Bottleneck`."""
        with torch.autocast(z.device.type, enabled=False):
            state, parts = self._begin(z), []
            for frame in z.float().unbind(2):
                predicted = self.predict(state)
                found = self.quantizer(frame - predicted, n)
                parts.append(found._replace(z_q=predicted + found.z_q))
                state = self.cell(parts[-1].z_q, state)
            z_q, codes = (torch.stack([part[index] for part in parts], dim=2) for index in (0, 1))
            error = (z_q - z).square().mean() / z.square().mean().clamp_min(1e-12)
        loss = torch.stack([part.loss for part in parts]).mean()
        return Quantized(z_q, codes, loss, {"latent_error": error.detach()})

    @torch.no_grad()
    def encode(self, z: Tensor, n: int | Tensor | None = None) -> Tensor:
        """See :class:`codec.quantize.bottleneck.Bottleneck`; n is one number."""
        if isinstance(n, Tensor):
            raise CodecError("predicted latents take one number of codebooks for all frames")
        state, found = self._begin(z), []
        for index, frame in enumerate(z.float().unbind(2)):
            state = self._begin(z) if index % _BLOCK_FRAMES == 0 else state
            predicted = self.predict(state)
            codes = self.quantizer.encode(frame - predicted, n)
            state = self.cell(predicted + self.quantizer.decode(codes), state)
            found.append(codes)
        return torch.stack(found, dim=2)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """See :class:`codec.quantize.bottleneck.Bottleneck`."""
        state, given = self._begin(codes), []
        for index, frame in enumerate(codes.unbind(2)):
            state = self._begin(codes) if index % _BLOCK_FRAMES == 0 else state
            given.append(self.predict(state) + self.quantizer.decode(frame))
            state = self.cell(given[-1], state)
        return torch.stack(given, dim=2)

    def _begin(self, like: Tensor) -> Tensor:
        return torch.zeros(len(like), 2 * self.dim, device=like.device)


class Centred(DepthwiseConv):
    """Looks as far ahead as it looks back: for teachers, which nobody has to wait for."""

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`codec.nn.layers.DepthwiseConv`."""
        behind = self.kernel // 2
        padded = F.pad(x.transpose(1, 2), (self.kernel - 1 - behind, behind))
        weight = self.weight.t().unsqueeze(1)
        return F.conv1d(padded, weight, self.bias, groups=weight.shape[0]).transpose(1, 2)


class Distilled(CodecModel):
    """Its decoder's last hidden layer learns to tell what that of a teacher says of the same sound.

    After StreamCodec2 (arXiv 2509.13670), whose teacher is larger and not causal; as squared error, after a
    linear map to the teacher's width. The teacher decodes what it would send.
    """

    def __init__(self, config: CodecConfig, teacher: CodecModel) -> None:
        super().__init__(config)
        # In a list, so that its weights are not among those of this model.
        self._teacher = [teacher.eval().requires_grad_(False)]
        self.match = nn.Linear(_width(config), _width(teacher.config))

    def forward(self, audio: Tensor, n: Tensor | None = None, *rest: Any) -> tuple[Tensor, Quantized | None]:
        """See :class:`codec.model.CodecModel`; the loss comes with that of the bottleneck."""
        hidden, (output, quantized) = _hidden(super().forward, self, audio, n, *rest)
        if quantized is None:
            return output, None
        with torch.no_grad():
            wanted, _ = _hidden(self._teacher[0].from_codes, self._teacher[0], audio, n)
        error = (self.match(hidden) - wanted).float().square().mean()
        return output, _add_loss(quantized, _DISTILLATION_WEIGHT * error)


def committing(config: CodecConfig, kind: type[CodecModel] = CodecModel) -> CodecModel:
    """The codec with a commitment loss."""
    model = kind(config)
    model.bottleneck = Committing(model.bottleneck.quantizer)
    return model


def factorized(config: CodecConfig) -> CodecModel:
    """The codec with DAC's codebooks in place of its own."""
    model = CodecModel(config)
    number, size = config.bottleneck.num_codebooks, config.bottleneck.codebook_size
    model.bottleneck = Bottleneck(FactorizedVQ(config.dim, number, size))
    return model


def predicting(config: CodecConfig) -> CodecModel:
    """The codec with latents predicted from those before."""
    model = CodecModel(config)
    model.bottleneck = Predicting(model.bottleneck.quantizer)
    return model


def centred(config: CodecConfig) -> CodecModel:
    """The codec with networks that look ahead."""
    model = CodecModel(config)
    for part in model.modules():
        if isinstance(part, DepthwiseConv):
            part.__class__ = Centred
    return model


def distilled_from(teacher: CodecModel) -> Build:
    """What builds the codec with a teacher."""
    return lambda config: Distilled(config, teacher)


# By their names in ablations.yaml; DISTILLED, which has a teacher, is built by `distilled_from`.
CANDIDATES: dict[str, Build] = {
    "unnormalized": Unnormalized,
    "committing": committing,
    "unnormalized, committing": lambda config: committing(config, Unnormalized),
    "factorized": factorized,
    "predicting": predicting,
    "centred": centred,
}


def _add_loss(quantized: Quantized, loss: Tensor) -> Quantized:
    return quantized._replace(loss=quantized.loss + loss)


def _width(config: CodecConfig) -> int:
    if not isinstance(config.network, SpectralConfig):
        raise CodecError("distillation knows the hidden layers of the spectral network only")
    return config.network.width


def _hidden(call: Callable[..., Any], model: CodecModel, *arguments: Any) -> tuple[Tensor, Any]:
    """What ``call`` gives, and what the decoder's stack of a model gave on the way."""
    seen: list[Tensor] = []
    stack: Any = model.decoder_network.stack
    handle = stack.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        result = call(*arguments)
    finally:
        handle.remove()
    return seen[0], result
