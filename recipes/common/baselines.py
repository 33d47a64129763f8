"""The traditional ways to fit codebooks, by well-known libraries: what NSVQ is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from codec.errors import CodecError
from codec.extras import require
from codec.quantize import ResidualVQ
from codec.quantize.codebooks import nearest_words
from recipes.common.vectors import code_vectors

Baseline = Literal["kmeans_residual", "kmeans_product", "opq", "lsq", "minibatch_residual"]
# Vectors ``[N, D]`` to what their codes decode to.
Coder = Callable[[Tensor], Tensor]


def fit_baseline(name: Baseline, x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    """Fit ``num_codebooks`` codebooks of ``2 ** bits`` words to vectors x ``[N, D]`` float32 on the CPU.

    All but the last are faiss', with its defaults for the effort of training, and all of the vectors:

    - "kmeans_residual": k-means on what the codebooks before left, greedy search (Chen et al. 2010);
    - "kmeans_product": k-means in each block (Jégou et al. 2011);
    - "opq": the same after a rotation that is learned (Ge et al. 2013);
    - "lsq": additive codebooks by least squares, searched by perturbed iterated conditional modes
      (LSQ++: Martinez et al. 2018);
    - "minibatch_residual": as the first, by scikit-learn's MiniBatchKMeans.

    Raises:
        CodecError: the library is not installed, or the name is unknown.
    """
    fits: dict[Baseline, Callable[[Tensor, int, int, int], Coder]] = {
        "kmeans_residual": _kmeans_residual,
        "kmeans_product": _kmeans_product,
        "opq": _opq,
        "lsq": _lsq,
        "minibatch_residual": _minibatch_residual,
    }
    if name not in fits:
        raise CodecError(f"unknown baseline {name!r}, known are {', '.join(get_args(Baseline))}")
    return fits[name](x, num_codebooks, bits, seed)


def fit_lsq(x: Tensor, num_codebooks: int, bits: int, seed: int) -> tuple[Coder, Tensor]:
    """The baseline "lsq" of `fit_baseline`, and its words ``[M, K, D]``, for other searches."""
    faiss = _faiss()
    quantizer = faiss.LocalSearchQuantizer(x.shape[1], num_codebooks, bits)
    quantizer.random_seed = seed
    quantizer.train(x.numpy())
    words = torch.from_numpy(faiss.vector_to_array(quantizer.codebooks))
    return _coder(quantizer), words.view(num_codebooks, 2**bits, x.shape[1])


def _faiss() -> Any:
    faiss = require("faiss", extra="recipes")
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss


def _coder(quantizer: Any) -> Coder:
    def code(x: Tensor) -> Tensor:
        return torch.from_numpy(quantizer.decode(quantizer.compute_codes(x.numpy())))

    return code


def _use_all(clustering: Any, x: Tensor, seed: int) -> None:
    """Let faiss' k-means see all vectors: its default is 256 of them for each word."""
    clustering.seed = seed
    clustering.max_points_per_centroid = len(x)


def _kmeans_residual(x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    faiss = _faiss()
    quantizer = faiss.ResidualQuantizer(x.shape[1], num_codebooks, bits)
    # Its default fits growing numbers of dimensions, and keeps a beam of 5.
    quantizer.train_type = faiss.ResidualQuantizer.Train_default
    quantizer.max_beam_size = 1
    _use_all(quantizer.cp, x, seed)
    quantizer.train(x.numpy())
    return _coder(quantizer)


def _kmeans_product(x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    quantizer = _faiss().ProductQuantizer(x.shape[1], num_codebooks, bits)
    _use_all(quantizer.cp, x, seed)
    quantizer.train(x.numpy())
    return _coder(quantizer)


def _opq(x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    faiss = _faiss()
    rotation = faiss.OPQMatrix(x.shape[1], num_codebooks)
    inner = faiss.ProductQuantizer(x.shape[1], num_codebooks, bits)
    _use_all(inner.cp, x, seed)
    rotation.pq = inner
    rotation.max_train_points = len(x)
    rotation.train(x.numpy())
    code = _kmeans_product(torch.from_numpy(rotation.apply(x.numpy())), num_codebooks, bits, seed)

    def rotated(vectors: Tensor) -> Tensor:
        decoded = code(torch.from_numpy(rotation.apply(vectors.numpy())))
        return torch.from_numpy(rotation.reverse_transform(decoded.numpy()))

    return rotated


def _lsq(x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    return fit_lsq(x, num_codebooks, bits, seed)[0]


def _minibatch_residual(x: Tensor, num_codebooks: int, bits: int, seed: int) -> Coder:
    cluster = require("sklearn.cluster", extra="recipes")
    quantizer = ResidualVQ(x.shape[1], num_codebooks, 2**bits).requires_grad_(False)
    residual = x
    for words in quantizer.words:
        found = cluster.MiniBatchKMeans(2**bits, batch_size=1024, n_init=1, random_state=seed).fit(residual)
        words.copy_(torch.from_numpy(found.cluster_centers_))
        residual = residual - words[nearest_words(residual, words)]
    return lambda vectors: code_vectors(quantizer, vectors)
