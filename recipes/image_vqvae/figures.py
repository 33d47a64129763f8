"""Plots of the image study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codec.config import Estimator
from recipes.common.plots import band, figure, save
from recipes.image_vqvae.results import KINDS, LABELS, Runs
from recipes.image_vqvae.study import COMPARED, Size, Study, of_four, wmops

_COLORS = {"nsvq": "tab:blue", "ste": "tab:orange", "ema": "tab:green"}
_KIND_COLORS = {"additive": "tab:red", "residual": "tab:purple", "product": "tab:brown"}
_NAMES = {"psnr": "Peak SNR, dB", "ssim": "SSIM"}
_FORMS: list[tuple[Estimator, bool]] = [(name, swap) for swap in (True, False) for name in COMPARED]


def write_figures(study: Study, size: Size, runs: Runs, published: dict[str, Any], folder: Path) -> None:
    """Write ``single.png``, ``curves.png`` and ``four.png`` to a folder; grey lines are published."""
    plot, axes = figure(columns=2)
    for axis, metric in zip(axes[0], _NAMES, strict=True):
        _single(axis, size, runs, metric, published["single"])
    save(plot, folder / "single.png")
    plot, axes = figure(columns=2)
    _curves(axes[0][0], size, runs, "train_error")
    _curves(axes[0][1], size, runs, "perplexity")
    save(plot, folder / "curves.png")
    plot, axes = figure(columns=3)
    for axis, metric in zip(axes[0], _NAMES, strict=False):
        _four(axis, size, runs, metric, published["four"])
    _cost(axes[0][2], study, size, runs)
    save(plot, folder / "four.png")


def _single(axis: Any, size: Size, runs: Runs, metric: str, published: dict[str, Any]) -> None:
    bits = sorted(size.single_bits)
    for estimator, replacement in _FORMS:
        values = [runs.values(metric, "plain", rate, estimator, replacement) for rate in bits]
        band(
            axis,
            bits,
            values,
            _form(estimator, replacement),
            color=_COLORS[estimator],
            ls=_style(replacement),
        )
    for name, values in published[metric].items():
        axis.plot(published["bits"], values, color="0.7", lw=1, ls=_style(not name.endswith("without")))
        axis.annotate(name, (published["bits"][-1], values[-1]), fontsize=6, color="0.5")
    axis.set(xlabel="bits a latent", ylabel=_NAMES[metric], title="one codebook")
    axis.legend(fontsize=7)


def _curves(axis: Any, size: Size, runs: Runs, quantity: str) -> None:
    bits = max(size.banded_bits)
    for estimator, replacement in _FORMS:
        curves = [run["curve"] for run in runs.by_seed("plain", bits, estimator, replacement).values()]
        if curves:
            updates = [point["updates"] for point in curves[0]]
            values = [[point[quantity] for point in points] for points in zip(*curves, strict=True)]
            label = _form(estimator, replacement)
            band(axis, updates, values, label, color=_COLORS[estimator], ls=_style(replacement))
    names = {"train_error": "mean square error in training", "perplexity": "perplexity of a batch"}
    axis.set(xlabel="updates", ylabel=names[quantity], yscale="log", title=f"one codebook of {bits} bit")
    axis.legend(fontsize=7)


def _four(axis: Any, size: Size, runs: Runs, metric: str, published: dict[str, Any]) -> None:
    bits = sorted(size.multi_bits)
    for kind in KINDS:
        values = [runs.values(metric, kind, rate) for rate in bits]
        band(axis, bits, values, kind, color=_KIND_COLORS[kind])
        axis.plot(
            published["bits"], published[metric][kind], color=_KIND_COLORS[kind], lw=0.8, ls=":", alpha=0.7
        )
    axis.set(xlabel="bits a latent", ylabel=_NAMES[metric], title="four codebooks (dotted: published)")
    axis.legend(fontsize=7)


def _cost(axis: Any, study: Study, size: Size, runs: Runs) -> None:
    bits = sorted(size.multi_bits)
    for kind in KINDS:
        costs = [wmops(of_four(kind, rate), study, "paper") for rate in bits]
        band(axis, costs, [runs.values("psnr", kind, rate) for rate in bits], kind, color=_KIND_COLORS[kind])
    axis.set(xlabel="WMOPS a vector (paper's count)", ylabel=_NAMES["psnr"], xscale="log", title="cost")
    axis.legend(fontsize=7)


def _form(estimator: Estimator, replacement: bool) -> str:
    return f"{LABELS[estimator]}{'' if replacement else ', no replacement'}"


def _style(replacement: bool) -> str:
    return "-" if replacement else "--"
