"""Tables and plots of the speech study, from the runs that are finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.quantize.complexity import additive_wmops, plain_wmops, product_wmops, residual_wmops
from recipes.common.records import Results
from recipes.common.report import (
    number_text,
    spread,
    start_readme,
    table,
    verdict,
    write_nothing_yet,
    write_section,
)
from recipes.speech_envelope.coder import FRAME_RATE
from recipes.speech_envelope.conditions import side_tables
from recipes.speech_envelope.figures import plot_both_worlds, plot_quality
from recipes.speech_envelope.model import NUM_BANDS
from recipes.speech_envelope.neural import NeuralResults
from recipes.speech_envelope.offsets import clip_means, distances, shared_offsets
from recipes.speech_envelope.results import (
    LABELS,
    TITLES,
    Finished,
    Published,
    by_clip,
    by_seed,
    header,
    runs_of,
    sizes,
)
from recipes.speech_envelope.study import METHODS, Method, Setting, Size, Study, study_runs

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
_SHARED = """Mean less published mean, with Student's 95 % interval over the clips: first what all have in
common, then what each has beyond that."""
_PLOTS = """![quality by bitrate](quality.png)

Bands: the middle 95 % of the clips, one a speaker (means over trainings). Dotted: published means.

![this codec and the neural codec](both.png)"""


def write_report(
    study: Study,
    size: Size,
    finished: Finished,
    published: Published,
    neural: NeuralResults,
    folder: Path,
) -> None:
    """Write ``quality.png``, ``both.png`` and the results in ``README.md`` to a folder.

    A folder without a README gets one that holds the results alone.
    """
    readme, results = start_readme(folder), finished.study
    if not results:
        write_nothing_yet(readme)
        return
    plot_quality(size, results, published, folder / "quality.png")
    plot_both_worlds(size, results, neural, folder / "both.png")
    parts = [_facts(size, finished.sound, results), _PLOTS, _neural(neural)]
    for metric, (title, digits) in TITLES.items():
        parts += [f"### {title}", _means(size, results, published, metric, digits)]
    parts += ["### Published orders", _claims(size, results), "### Away from the published means"]
    parts += [distances(size, results, published), "### What all methods share of that", _SHARED]
    parts += [shared_offsets(size, results, published), "### The 12-bit codebooks under other conditions"]
    parts += [side_tables(size, finished, published), "### Size", _sizes(size, results)]
    parts += ["### Means with their interval over clips", clip_means(size, results)]
    parts += ["### Spread over clips", _spreads(size, results)]
    parts += ["### Search and training", _costs(study, size, results)]
    write_section(readme, "results", "\n\n".join(parts))


def _facts(size: Size, sound: str, results: Results[Setting]) -> str:
    number = number_text(len(runs_of(results, method)) for method in METHODS)
    missing = len(study_runs(size)) - sum(len(seeds) for seeds in results.values())
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
    return table(header(size.bitrates), rows)


def _claims(size: Size, results: Results[Setting]) -> str:
    rows = []
    for metric, first, second in _CLAIMS:
        cells = []
        for bitrate in size.bitrates:
            high = by_seed(results, first, bitrate, metric)
            low = by_seed(results, second, bitrate, metric)
            gains = [high[seed] - low[seed] for seed in sorted(high.keys() & low.keys())]
            cells.append(f"{spread(gains, 3)}, {verdict(gains)}" if gains else "-")
        title, _ = TITLES[metric]
        rows.append([f"{title}: {LABELS[first]} above {LABELS[second]}", *cells])
    head = (
        "By how much the first is above the second, seed by seed, and whether the interval leaves zero out:"
    )
    return f"{head}\n\n{table(header(size.bitrates), rows)}"


def _sizes(size: Size, results: Results[Setting]) -> str:
    found = [sizes(results, bitrate) for bitrate in size.bitrates]
    away = [100 * (1000 * np.array(each) / rate - 1) for each, rate in zip(found, size.bitrates, strict=True)]
    rows = [
        ["kbit/s of all files, mean of the runs", *(f"{np.mean(each):.3f}" for each in found)],
        ["least deviation in %", *(f"{each.min():+.2f}" for each in away)],
        ["most", *(f"{each.max():+.2f}" for each in away)],
    ]
    return table(header(size.bitrates), rows)


def _spreads(size: Size, results: Results[Setting]) -> str:
    """How wide the middle 95 % of clips are."""
    rows = []
    for metric in ("pesq_wb", "psnr", "stoi"):
        title, digits = TITLES[metric]
        for method, label in LABELS.items():
            cells = []
            for bitrate in size.bitrates:
                clips = by_clip(results, method, bitrate, metric)
                low, high = np.quantile(clips, (0.025, 0.975)) if clips else (np.nan, np.nan)
                cells.append(f"{low:.{digits}f} to {high:.{digits}f}" if clips else "-")
            rows.append([f"{title}: {label}", *cells])
    return f"The 2.5 % and 97.5 % quantiles over clips:\n\n{table(header(size.bitrates), rows)}"


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
