"""One run of the study on nearest-neighbour search."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import get_args

import safetensors.torch
import torch
from torch import Tensor

from codec.atomic import AtomicFile
from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from recipes.ann_search.study import CODEBOOKS, DEPTHS, Method, Setting, Size, Study
from recipes.ann_search.vecs import SearchSet, ranks_of_nearest
from recipes.common.baselines import Baseline, Coder, fit_baseline, fit_lsq
from recipes.common.vectors import code_vectors, train_on_vectors


def run(setting: Setting, study: Study, size: Size, vectors: SearchSet, words: Path) -> dict[str, object]:
    """Fit one quantizer to the learning vectors, code the base by it and search that for each query.

    Args:
        setting: which.
        study: the configuration.
        size: how much of it.
        vectors: the data.
        words: file of the trained codebooks, which is made if it is missing; a search with other beams uses
            it again.

    Returns:
        ``recall`` at each of `study.DEPTHS`; ``error``, the mean square over that of the base;
        ``encode_us``, CPU time a vector, decoding included; ``train_seconds``, unless the codebooks were
        there.
    """
    code, found = _fit(setting, study, size, vectors.learn, words)
    start = time.process_time()
    decoded = code(vectors.base)
    found["encode_us"] = round(1e6 * (time.process_time() - start) / len(decoded), 1)
    return found | measure(decoded, vectors)


def _fit(
    setting: Setting, study: Study, size: Size, learn: Tensor, words: Path
) -> tuple[Coder, dict[str, object]]:
    """What codes vectors by the method of a setting, and how long it took to fit, if it did."""
    method = CODEBOOKS.get(setting.method, setting.method)
    bits, start = setting.bits // setting.num_codebooks, time.process_time()
    fitting = (learn, setting.num_codebooks, bits, setting.seed)
    if setting.method in get_args(Baseline) and method != "lsq":
        code = fit_baseline(method, *fitting)  # type: ignore[arg-type]
        return code, {"train_seconds": round(time.process_time() - start, 1)}
    quantizer = build(method, (learn.shape[1], setting.num_codebooks, 2**bits), size)
    found: dict[str, object] = {}
    if method == "lsq" and (setting.method == "lsq" or not words.exists()):
        code, fitted = fit_lsq(*fitting)
        found["train_seconds"] = round(time.process_time() - start, 1)
        with torch.no_grad():
            quantizer.words.copy_(fitted)
        _save(quantizer, words)
        if setting.method == "lsq":
            return code, found
    elif words.exists():
        quantizer.load_state_dict(safetensors.torch.load_file(words))
    else:
        found |= train_on_vectors(quantizer, learn, size.training, setting.seed)
        _save(quantizer, words)
    _widen(quantizer.requires_grad_(False), setting, study, size)
    return partial(code_vectors, quantizer), found


def build(method: Method, sizes: tuple[int, int, int], size: Size) -> VectorQuantizer:
    """The quantizer of a method, of ``sizes`` D, M and K, as published but for ``product_rotated``.

    What LSQ finds are words of an additive one.
    """
    if method == "residual":
        return ResidualVQ(*sizes)
    if method in ("additive", "lsq"):
        return AdditiveVQ(*sizes, beam=size.beam, train_beam=size.train_beam)
    return ProductVQ(*sizes, rotation=method == "product_rotated")


def measure(decoded: Tensor, vectors: SearchSet) -> dict[str, object]:
    """Recall at each of `study.DEPTHS`, and the error relative to the energy of the base."""
    ranks = ranks_of_nearest(decoded, vectors.query, vectors.nearest)
    error = (decoded - vectors.base).square().mean() / vectors.base.square().mean()
    recall = {str(depth): float((ranks < depth).float().mean()) for depth in DEPTHS}
    return {"recall": recall, "error": float(error)}


def _widen(quantizer: VectorQuantizer, setting: Setting, study: Study, size: Size) -> None:
    if setting.method == "residual_beam":
        quantizer.beam = size.beam
    elif setting.method in ("additive_polished", "lsq_searched"):
        assert isinstance(quantizer, AdditiveVQ)
        quantizer.beam, quantizer.polish = study.wide_beam, study.polish


def _save(quantizer: VectorQuantizer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in quantizer.state_dict().items()}
    with AtomicFile(path, force=True) as file:
        file.write(safetensors.torch.save(state))
