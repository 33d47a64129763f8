"""One run of the study on toy data."""

from __future__ import annotations

import time
from typing import get_args

from torch import Tensor

from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from recipes.common.baselines import fit_baseline
from recipes.common.vectors import code_vectors, train_on_vectors
from recipes.toy.study import Setting, Size, Study, Trained, draw_vectors, held_out_vectors


def run(setting: Setting, study: Study, size: Size) -> dict[str, float]:
    """Fit one quantizer and measure it on held-out vectors.

    Runs of one seed are fitted to the same vectors.

    Returns:
        ``mse``, the mean square error of a coordinate; ``mse_beam``, that of the same residual codebooks
        searched with the beam; ``train_seconds``, CPU time; ``replaced`` words.
    """
    learn = draw_vectors(setting.data, setting.dim, size.learn, setting.seed)
    test = held_out_vectors(setting.data, setting.dim, size.held_out)
    bits = setting.bits // study.num_codebooks
    if setting.method not in get_args(Trained):
        start = time.process_time()
        code = fit_baseline(setting.method, learn, study.num_codebooks, bits, setting.seed)  # type: ignore[arg-type]
        seconds = time.process_time() - start
        return {"mse": _error(code(test), test), "train_seconds": round(seconds, 2)}
    quantizer = build(setting.method, setting.dim, study.num_codebooks, 2**bits, study.beam, size.train_beam)  # type: ignore[arg-type]
    found = train_on_vectors(quantizer, learn, size.training, setting.seed)
    result = {"mse": _error(code_vectors(quantizer, test), test), **found}
    if setting.method == "residual":
        quantizer.beam = study.beam
        result["mse_beam"] = _error(code_vectors(quantizer, test), test)
    return result


def build(
    method: Trained, dim: int, num_codebooks: int, codebook_size: int, beam: int, train_beam: int
) -> VectorQuantizer:
    """The quantizer of a method; the residual one searches greedily, the additive one with the beam."""
    sizes = (dim, num_codebooks, codebook_size)
    if method == "residual":
        return ResidualVQ(*sizes)
    if method == "additive":
        return AdditiveVQ(*sizes, beam=beam, train_beam=train_beam)
    return ProductVQ(*sizes, rotation=method == "product_rotated")


def _error(decoded: Tensor, x: Tensor) -> float:
    return float((decoded - x).square().mean())
