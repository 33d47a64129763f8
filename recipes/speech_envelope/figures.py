"""Plots of the speech study."""

from __future__ import annotations

from pathlib import Path

from recipes.common.plots import band, figure, save
from recipes.common.records import Results
from recipes.speech_envelope.neural import NeuralResults
from recipes.speech_envelope.results import LABELS, Published, by_clip
from recipes.speech_envelope.study import Method, Setting, Size

_GROUPS: tuple[tuple[Method, ...], ...] = (("additive", "residual", "product"), ("nsvq", "ste"))
_AXES = {"pesq_wb": "PESQ-WB", "psnr": "pSNR in dB", "stoi": "STOI"}
_COLORS = {
    "additive": "tab:red",
    "residual": "tab:blue",
    "product": "tab:green",
    "nsvq": "tab:purple",
    "ste": "tab:orange",
}
# The colours of the envelope codec's quantizers of the same kind.
_NEURAL_COLORS = {
    "residual, nsvq": "tab:blue",
    "residual, ste": "tab:orange",
    "residual, ema": "tab:brown",
    "additive, nsvq": "tab:red",
    "product, nsvq": "tab:green",
}


def plot_quality(size: Size, results: Results[Setting], published: Published, path: Path) -> None:
    """Each metric by bitrate: 16-bit quantizers above, 12-bit ones below, published means dotted."""
    plot, axes = figure(columns=len(_AXES), rows=len(_GROUPS), height=3.4)
    kbps = [bitrate / 1000 for bitrate in size.bitrates]
    for row, methods in zip(axes, _GROUPS, strict=True):
        for panel, (metric, name) in zip(row, _AXES.items(), strict=True):
            for method in methods:
                style = {"color": _COLORS[method]}
                values = [by_clip(results, method, bitrate, metric) for bitrate in size.bitrates]
                band(panel, kbps, values, LABELS[method], **style)
                known = published.means(metric, method, size.bitrates)
                if known:
                    at = [bitrate / 1000 for bitrate in known]
                    panel.plot(at, list(known.values()), ":", label=f"{LABELS[method]}, published", **style)
            panel.set(xlabel="kbit/s", ylabel=name)
            panel.legend(fontsize=6)
    save(plot, path)


def plot_both_worlds(size: Size, results: Results[Setting], neural: NeuralResults, path: Path) -> None:
    """PESQ by bitrate of this codec and of the neural codec's bottlenecks."""
    plot, axes = figure(columns=1, width=7.0, height=4.5)
    panel = axes[0, 0]
    for name, points in neural.found.items():
        at, values = [point.kbps for point in points], [point.pesq_wb for point in points]
        color = _NEURAL_COLORS.get(name, "tab:gray")
        panel.plot(at, values, marker="s", ls="--", label=f"neural codec: {name}", color=color)
    kbps = [bitrate / 1000 for bitrate in size.bitrates]
    for method in LABELS:
        values = [by_clip(results, method, bitrate, "pesq_wb") for bitrate in size.bitrates]
        band(panel, kbps, values, f"envelope codec: {LABELS[method]}", color=_COLORS[method])
    panel.set(xlabel="kbit/s", ylabel="PESQ-WB", xscale="log")
    ticks = [1.5, 3, 6, 8, 13.2, 32]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
    panel.legend(fontsize=7)
    save(plot, path)
