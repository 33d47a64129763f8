"""One run of the study on nearest-neighbour search."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import get_args

import safetensors.torch
from torch import Tensor

from codec.atomic import AtomicFile
from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from recipes.ann_search.study import CODEBOOKS, DEPTHS, Quantizer, Setting, Size, Study
from recipes.ann_search.vecs import SearchSet, ranks_of_nearest
from recipes.common.baselines import Baseline, Coder, fit_baseline
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
    found: dict[str, object] = {}
    bits = setting.bits // setting.num_codebooks
    start = time.process_time()
    code: Coder
    if setting.method in get_args(Baseline):
        code = fit_baseline(setting.method, vectors.learn, setting.num_codebooks, bits, setting.seed)  # type: ignore[arg-type]
        found["train_seconds"] = round(time.process_time() - start, 1)
    else:
        method = CODEBOOKS.get(setting.method, setting.method)  # type: ignore[call-overload]
        sizes = (vectors.learn.shape[1], setting.num_codebooks, 2**bits)
        quantizer = build(method, sizes, size)
        if words.exists():
            quantizer.load_state_dict(safetensors.torch.load_file(words))
            quantizer.requires_grad_(False)
        else:
            found |= train_on_vectors(quantizer, vectors.learn, size.training, setting.seed)
            _save(quantizer, words)
        _widen(quantizer, setting, study, size)
        code = partial(code_vectors, quantizer)
    start = time.process_time()
    decoded = code(vectors.base)
    found["encode_us"] = round(1e6 * (time.process_time() - start) / len(decoded), 1)
    return found | measure(decoded, vectors)


def build(method: Quantizer, sizes: tuple[int, int, int], size: Size) -> VectorQuantizer:
    """The quantizer of a method, of ``sizes`` D, M and K, as published but for ``product_rotated``."""
    if method == "residual":
        return ResidualVQ(*sizes)
    if method == "additive":
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
    elif setting.method == "additive_polished":
        assert isinstance(quantizer, AdditiveVQ)
        quantizer.beam, quantizer.polish = study.wide_beam, study.polish


def _save(quantizer: VectorQuantizer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in quantizer.state_dict().items()}
    with AtomicFile(path, force=True) as file:
        file.write(safetensors.torch.save(state))
