"""Measure what the quantizers' searches cost on plain vectors: time, error, weighted operations, memory.

    python tools/bench_quantize.py [--dim 128] [--num-codebooks 8] [--codebook-size 256] [--memory]

All run on one thread, with the same codebooks from k-means, on correlated Gaussian vectors (40 of the
dimensions independent) that k-means did not see. Times are CPU time of the best of a few runs, so that
other work on the machine counts little; errors are mean squares over that of the vectors. faiss' residual
quantizer is measured beside them if it is installed.
"""

from __future__ import annotations

import importlib.util
import resource
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor

from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from codec.quantize.complexity import additive_wmops, product_wmops, residual_wmops

INDEPENDENT = 40
MANY = 1_000_000


def correlated_vectors(count: int, dim: int, seed: int) -> Tensor:
    """Gaussian vectors ``[count, dim]`` that lie in a subspace; the subspace is the same for all seeds."""
    mixing = torch.randn(INDEPENDENT, dim, generator=torch.Generator().manual_seed(0)) / INDEPENDENT**0.5
    return torch.randn(count, INDEPENDENT, generator=torch.Generator().manual_seed(seed)) @ mixing


def best_time(call: Callable[[], object], repetitions: int) -> float:
    """Seconds of CPU time of this thread, the least of a few runs after one that does not count."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)


def relative_error(x: Tensor, decoded: Tensor) -> float:
    """Mean square error over the mean square of x."""
    return float((x - decoded).square().mean() / x.square().mean())


def report(name: str, quantizer: VectorQuantizer, x: Tensor, wmops: float, repetitions: int) -> None:
    """Print one line about a quantizer on vectors x ``[N, D]``."""
    seconds = best_time(lambda: quantizer.encode(x), repetitions)
    with torch.inference_mode():
        error = relative_error(x, quantizer.decode(quantizer.encode(x)))
    counted = f"{wmops:12.4f} WMOPS" if wmops else ""
    typer.echo(f"{name:24} {1e6 * seconds / len(x):10.1f} us/vector   error {error:.4f}{counted}")


def report_faiss(quantizer: ResidualVQ, x: Tensor, learn: Tensor, repetitions: int) -> None:
    """Print the same of faiss' residual quantizer, which trains its own codebooks and searches with a beam
    of 1."""
    if importlib.util.find_spec("faiss") is None:
        typer.echo("faiss is not installed: its residual quantizer is left out")
        return
    import faiss

    faiss.omp_set_num_threads(1)
    bits = (quantizer.codebook_size - 1).bit_length()
    theirs = faiss.ResidualQuantizer(quantizer.dim, quantizer.num_codebooks, bits)
    theirs.max_beam_size = 1
    theirs.train(learn.numpy())
    vectors = x.numpy()
    seconds = best_time(lambda: theirs.compute_codes(vectors), repetitions)
    error = relative_error(x, torch.from_numpy(theirs.decode(theirs.compute_codes(vectors))))
    typer.echo(f"{'faiss residual, beam 1':24} {1e6 * seconds / len(x):10.1f} us/vector   error {error:.4f}")


def report_memory(quantizers: dict[str, VectorQuantizer], dim: int) -> None:
    """Encode a million vectors by each quantizer and print the peak memory of the process, vectors
    included."""
    x = correlated_vectors(MANY, dim, seed=2)
    for name, quantizer in quantizers.items():
        start = time.perf_counter()
        quantizer.encode(x)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        seconds = time.perf_counter() - start
        typer.echo(f"{name:24} {MANY} vectors in {seconds:.0f} s, peak memory so far {peak:.2f} GB")


def main(
    dim: Annotated[int, typer.Option(min=1)] = 128,
    num_codebooks: Annotated[int, typer.Option(min=1)] = 8,
    codebook_size: Annotated[int, typer.Option(min=2)] = 256,
    vectors: Annotated[int, typer.Option(min=8, help="How many to encode.")] = 2048,
    learn: Annotated[int, typer.Option(min=2, help="How many k-means sees.")] = 20_000,
    repetitions: Annotated[int, typer.Option(min=1)] = 20,
    memory: Annotated[bool, typer.Option("--memory", help="Encode a million vectors, too.")] = False,
) -> None:
    """Print a line for each search."""
    torch.set_num_threads(1)
    sizes = (dim, num_codebooks, codebook_size)
    seen, x = correlated_vectors(learn, dim, seed=0), correlated_vectors(vectors, dim, seed=1)
    residual = ResidualVQ(*sizes)
    residual.fit_kmeans(seen)
    residual.requires_grad_(False)
    report("residual, greedy", residual, x, residual_wmops(*sizes, "mac"), repetitions)
    report_faiss(residual, x, seen, repetitions)
    for beam in (4, 16):
        wide = ResidualVQ(*sizes, beam=beam)
        wide.load_state_dict(residual.state_dict())
        report(f"residual, beam {beam}", wide.requires_grad_(False), x, 0.0, repetitions)
    for beam, polish in ((1, 0), (4, 0), (16, 0), (16, 2), (64, 0)):
        additive = AdditiveVQ(*sizes, beam=beam, polish=polish)
        additive.load_state_dict(residual.state_dict())
        name = f"additive, beam {beam}" + (f", polish {polish}" if polish else "")
        wmops = additive_wmops(*sizes, beam)
        some = repetitions if beam == 1 else min(3, repetitions)  # runs of the wider ones take up to seconds
        report(name, additive.requires_grad_(False), x, 0.0 if polish else wmops, some)
    quantizers: dict[str, VectorQuantizer] = {"residual, greedy": residual}
    for rotation in (False, True):
        product = ProductVQ(*sizes, rotation=rotation)
        product.fit_kmeans(seen)
        product.requires_grad_(False)
        name = "product, rotated" if rotation else "product"
        quantizers[name] = product
        report(name, product, x, 0.0 if rotation else product_wmops(*sizes, "mac"), repetitions)
    if memory:
        for beam in (1, 16):
            additive = AdditiveVQ(*sizes, beam=beam)
            additive.load_state_dict(residual.state_dict())
            quantizers[f"additive, beam {beam}"] = additive.requires_grad_(False)
        report_memory(quantizers, dim)


if __name__ == "__main__":
    typer.run(main)
