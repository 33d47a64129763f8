"""Rate-quality plots: one panel a metric, one curve a codec, since metrics contradict each other."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from codec.evaluation.evaluate import Aggregate
from codec.evaluation.report import metric_label
from codec.extras import require

_PANEL_INCHES = (4.2, 3.2)
_COLUMNS = 3
_TICKS = (0.5, 1, 1.5, 2, 3, 4, 6, 9, 12, 16, 24, 32)


def draw_curves(results: Sequence[Aggregate], metrics: Sequence[str], model: str) -> bytes:
    """Draw means with 95 % intervals over payload kbit/s as a PNG; ``model`` names the model's own curve."""
    require("matplotlib", extra="eval").use("agg")
    pyplot = require("matplotlib.pyplot", extra="eval")
    columns = min(_COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure, axes = pyplot.subplots(
        rows,
        columns,
        squeeze=False,
        layout="constrained",
        figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows),
    )
    families = list(dict.fromkeys(result.setting.family for result in results))
    for panel, name in zip(axes.flat, metrics, strict=False):
        for color, family in enumerate(families):
            points = [
                (result.payload_kbps, summary.mean, summary.half_width or 0.0)
                for result in results
                if result.setting.family == family
                and (summary := result.scores.get(name)) is not None
                and summary.mean is not None
            ]
            x, y, bars = zip(*sorted(points), strict=True) if points else ((), (), ())
            label = f"{model} {family}".strip() if family in ("", "abr", "vbr") else family
            panel.errorbar(
                x, y, bars, fmt=".-", capsize=2, linewidth=1.2, color=f"C{color % 10}", label=label
            )
        panel.set(title=metric_label(name), xscale="log")
        panel.set_xticks(_TICKS, labels=[f"{tick:g}" for tick in _TICKS])
        panel.minorticks_off()
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    for panel in axes.flat[len(metrics) :]:
        panel.set_visible(False)
    for panel in axes[-1]:
        panel.set_xlabel("payload kbit/s")
    axes.flat[0].legend(fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, dpi=100, format="png")
    pyplot.close(figure)
    return image.getvalue()
