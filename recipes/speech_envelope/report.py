"""Tables and plots of the speech study, from the runs that are finished."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codec.quantize.complexity import additive_wmops, plain_wmops, product_wmops, residual_wmops
from recipes.common.records import Results
from recipes.common.report import number_text, spread, start_readme, table, verdict, write_section
from recipes.speech_envelope.coder import FRAME_RATE
from recipes.speech_envelope.figures import plot_both_worlds, plot_quality
from recipes.speech_envelope.model import NUM_BANDS
from recipes.speech_envelope.neural import NeuralResults
from recipes.speech_envelope.results import LABELS, Published, by_clip, by_seed, runs_of, sizes
from recipes.speech_envelope.study import METHODS, Method, Setting, Size, Study, settings

# Metrics with the digits that their tables show.
_TITLES = {
    "pesq_wb": ("PESQ-WB", 2),
    "psnr": ("pSNR in dB", 2),
    "stoi": ("STOI", 3),
    "psnr_coding": ("Signal-to-noise ratio in dB, weighted as the codec weights its noise", 2),
}
# The published orders: the first method above the second.
_CLAIMS: tuple[tuple[str, Method, Method], ...] = (
    ("pesq_wb", "additive", "residual"),
    ("pesq_wb", "residual", "product"),
    ("psnr", "additive", "residual"),
    ("psnr", "additive", "product"),
    ("psnr", "additive", "nsvq"),
    ("psnr", "additive", "ste"),
    ("pesq_wb", "nsvq", "ste"),
    ("psnr", "nsvq", "ste"),
    ("stoi", "nsvq", "ste"),
)
_PLOTS = """![quality by bitrate](quality.png)

Bands: the middle 95 % of the clips, one a speaker (means over trainings). Dotted: published means.

![this codec and the neural codec](both.png)"""


def write_report(
    study: Study,
    size: Size,
    sound: str,
    results: Results[Setting],
    published: Published,
    neural: NeuralResults,
    folder: Path,
) -> None:
    """Write ``quality.png``, ``both.png`` and the results in ``README.md`` to a folder; ``sound`` tells in
    words what they are from.

    A folder without a README gets one that holds the results alone.
    """
    readme = start_readme(folder)
    if not results:
        write_section(readme, "results", "No run of this study is finished yet: its figures are missing.")
        return
    plot_quality(size, results, published, folder / "quality.png")
    plot_both_worlds(size, results, neural, folder / "both.png")
    parts = [_facts(size, sound, results), _PLOTS, _neural(neural)]
    for metric, (title, digits) in _TITLES.items():
        parts += [f"### {title}", _means(size, results, published, metric, digits)]
    parts += ["### Published orders", _claims(size, results), "### Away from the published means"]
    parts += [_distances(size, results, published), "### Size", _sizes(size, results)]
    parts += ["### Spread over clips", _spreads(size, results)]
    parts += ["### Search and training", _costs(study, size, results)]
    write_section(readme, "results", "\n\n".join(parts))


def _header(size: Size) -> list[str]:
    return ["kbit/s", *(f"{bitrate / 1000:g}" for bitrate in size.bitrates)]


def _facts(size: Size, sound: str, results: Results[Setting]) -> str:
    number = number_text(len(runs_of(results, method)) for method in METHODS)
    missing = len(settings(size)) - sum(len(seeds) for seeds in results.values())
    text = (
        f"Trainings of each method: {number}, of {size.training.updates:,} updates of {size.training.batch}"
        f" frames; {sound}. Means over clips with Student's 95 % interval over trainings."
    )
    return f"{text} {missing} trainings are not finished yet." if missing else text


def _neural(neural: NeuralResults) -> str:
    rows = [
        [name, *(f"{point.kbps:g}: {point.pesq_wb:.2f}" for point in points)]
        for name, points in neural.found.items()
    ]
    missing = f"Not measured yet: {'; '.join(neural.missing)}." if neural.missing else ""
    head = "The neural codec's bottlenecks are short trainings by `recipes/speech_16k/compare.py`."
    if not rows:
        return f"{head} {missing}".strip()
    width = max(len(row) for row in rows)
    filled = [row + ["-"] * (width - len(row)) for row in rows]
    listed = table(["bottleneck, estimator", *["kbit/s: PESQ-WB"] * (width - 1)], filled)
    return f"{head} {missing}".strip() + f"\n\n{listed}"


def _means(size: Size, results: Results[Setting], published: Published, metric: str, digits: int) -> str:
    rows = []
    for method, label in LABELS.items():
        seeds = [list(by_seed(results, method, bitrate, metric).values()) for bitrate in size.bitrates]
        rows.append([label, *(spread(values, digits) for values in seeds)])
        known = published.means(metric, method, size.bitrates)
        if known:
            cells = [f"{known[bitrate]:.{digits}f}" if bitrate in known else "-" for bitrate in size.bitrates]
            rows.append([f"*{label}, published*", *cells])
    return table(_header(size), rows)


def _claims(size: Size, results: Results[Setting]) -> str:
    rows = []
    for metric, first, second in _CLAIMS:
        cells = []
        for bitrate in size.bitrates:
            high = by_seed(results, first, bitrate, metric)
            low = by_seed(results, second, bitrate, metric)
            gains = [high[seed] - low[seed] for seed in sorted(high.keys() & low.keys())]
            cells.append(f"{spread(gains, 3)}, {verdict(gains)}" if gains else "-")
        title, _ = _TITLES[metric]
        rows.append([f"{title}: {LABELS[first]} above {LABELS[second]}", *cells])
    head = (
        "By how much the first is above the second, seed by seed, and whether the interval leaves zero out:"
    )
    return f"{head}\n\n{table(_header(size), rows)}"


def _distances(size: Size, results: Results[Setting], published: Published) -> str:
    """How far means are from the published ones, and whether they rise with the bitrate."""
    rows = []
    for metric in ("pesq_wb", "psnr", "stoi"):
        for method, label in LABELS.items():
            known = published.means(metric, method, size.bitrates)
            means = {bitrate: by_seed(results, method, bitrate, metric) for bitrate in size.bitrates}
            own = {bitrate: float(np.mean(list(seeds.values()))) for bitrate, seeds in means.items() if seeds}
            if not own:
                continue
            away = [own[bitrate] - known[bitrate] for bitrate in own if bitrate in known]
            cells = [f"{min(away):+.2f}", f"{max(away):+.2f}"] if away else ["-", "-"]
            rises = "yes" if _rises(list(own.values())) else "no"
            rows.append([f"{_TITLES[metric][0]}: {label}", *cells, rises])
    return table(["mean less published mean", "least", "most", "rises with every bitrate"], rows)


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in itertools.pairwise(values))


def _sizes(size: Size, results: Results[Setting]) -> str:
    found = [sizes(results, bitrate) for bitrate in size.bitrates]
    away = [100 * (1000 * np.array(each) / rate - 1) for each, rate in zip(found, size.bitrates, strict=True)]
    rows = [
        ["kbit/s of all files, mean of the runs", *(f"{np.mean(each):.3f}" for each in found)],
        ["least deviation in %", *(f"{each.min():+.2f}" for each in away)],
        ["most", *(f"{each.max():+.2f}" for each in away)],
    ]
    return table(_header(size), rows)


def _spreads(size: Size, results: Results[Setting]) -> str:
    """How wide the middle 95 % of clips are."""
    rows = []
    for metric in ("pesq_wb", "psnr", "stoi"):
        title, digits = _TITLES[metric]
        for method, label in LABELS.items():
            cells = []
            for bitrate in size.bitrates:
                clips = by_clip(results, method, bitrate, metric)
                low, high = np.quantile(clips, (0.025, 0.975)) if clips else (np.nan, np.nan)
                cells.append(f"{low:.{digits}f} to {high:.{digits}f}" if clips else "-")
            rows.append([f"{title}: {label}", *cells])
    return f"The 2.5 % and 97.5 % quantiles over clips:\n\n{table(_header(size), rows)}"


def _costs(study: Study, size: Size, results: Results[Setting]) -> str:
    rows = []
    for method, label in LABELS.items():
        runs = list(runs_of(results, method).values())
        published, exact = (f"{FRAME_RATE * cost:.4f}" for cost in _wmops(study, size, method))
        perplexity = [float(np.mean(run["perplexity"])) for run in runs]
        rows.append(
            [
                label,
                published,
                exact,
                spread([run["bits"] for run in runs], 3),
                spread(perplexity, 1),
                spread([run["train_seconds"] for run in runs], 0),
            ]
        )
    header = ["quantizer", "WMOPS, published count", "WMOPS, own", "bits a line", "perplexity", "CPU seconds"]
    text = (
        f"WMOPS: the search of {FRAME_RATE:g} vectors a second, counted as published and as it is done here"
        " (multiply-accumulates, tables). Bits a line: the differential entropy at the end of the training."
    )
    return f"{text}\n\n{table(header, rows)}"


def _wmops(study: Study, size: Size, method: Method) -> tuple[float, float]:
    """Millions of weighted operations of a search, in the published count and in that of this library."""
    if method in ("nsvq", "ste"):
        bits = size.training.single_bits
        return plain_wmops(NUM_BANDS, bits, "paper"), plain_wmops(NUM_BANDS, bits, "mac")
    sizes_ = (NUM_BANDS, study.num_codebooks, study.codebook_size)
    if method == "additive":
        return additive_wmops(*sizes_, study.beam, "paper"), additive_wmops(*sizes_, study.beam, "table")
    count = residual_wmops if method == "residual" else product_wmops
    return count(*sizes_, "paper"), count(*sizes_, "mac")
