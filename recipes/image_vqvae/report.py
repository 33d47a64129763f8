"""Tables of the image study, from the runs that are finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codec.config import Estimator
from recipes.common.records import Results
from recipes.common.report import spread, start_readme, table, write_nothing_yet, write_section
from recipes.image_vqvae.claims import claims
from recipes.image_vqvae.figures import write_figures
from recipes.image_vqvae.results import KINDS, LABELS, Runs
from recipes.image_vqvae.study import COMPARED, Setting, Size, Study, of_four, settings, wmops

_PLOTS = """![one codebook](single.png)
![training error and perplexity](curves.png)
![four codebooks](four.png)

Bands: the middle 95 % of the seeds; rates with one seed are points. Grey and dotted: published."""
_PUBLISHED = Path(__file__).resolve().with_name("published.json")


def write_report(study: Study, size: Size, results: Results[Setting], folder: Path) -> None:
    """Write the plots, and the results in ``README.md``, to a folder.

    A folder without a README gets one that holds the results alone.
    """
    readme = start_readme(folder)
    if not results:
        write_nothing_yet(readme)
        return
    published = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    runs = Runs(results)
    write_figures(study, size, runs, published, folder)
    parts = [
        _PLOTS,
        facts(size, runs),
        "### One codebook: Peak SNR in dB",
        single_table(size, runs, "psnr", 2, published),
        "### One codebook: SSIM",
        single_table(size, runs, "ssim", 3, published),
        "### One codebook: share of words that no test image uses, in %, and perplexity of the test images",
        usage_table(size, runs),
        "### Four codebooks, NSVQ with replacement",
        four_table(study, size, runs, published),
        "### What was claimed, and what is found here",
        claims(study, size, runs),
    ]
    write_section(readme, "results", "\n\n".join(parts))


def facts(size: Size, runs: Runs) -> str:
    """What the figures were measured on."""
    results = runs.all()
    training = size.training
    arithmetic = {True: "bf16 convolutions", False: "float32 convolutions"}
    used = " or ".join(sorted({arithmetic[result["bf16"]] for result in results}))
    seconds = sum(result["cpu_seconds"] for result in results)
    return (
        f"{len(results)} of {len(settings(size))} runs; {training.updates:,} updates of {training.batch}"
        f" images, {used} in training, measured in float32; {seconds / 3600:.1f} hours of CPU time. Means"
        " over seeds with Student's 95 % interval; no interval means one seed, - not run."
    )


def single_table(size: Size, runs: Runs, metric: str, digits: int, published: dict[str, Any]) -> str:
    """The comparison with one codebook, beside the published one."""
    columns = [(estimator, replacement) for replacement in (True, False) for estimator in COMPARED]
    header = ["bits", *(_title(*column) for column in columns)]
    given = published["single"]
    header += [f"published: {_published_title(name)}" for name in given[metric]]
    rows = []
    for bits in sorted(size.single_bits):
        row = [str(bits)]
        row += [spread(runs.values(metric, "plain", bits, *column), digits) for column in columns]
        for values in given[metric].values():
            row.append(_at(given["bits"], values, bits, digits))
        rows.append(row)
    return table(header, rows)


def usage_table(size: Size, runs: Runs) -> str:
    """Unused words and perplexity with one codebook."""
    columns = [(estimator, replacement) for replacement in (True, False) for estimator in COMPARED]
    header = ["bits", *(f"{_title(*column)}: unused, perplexity" for column in columns)]
    rows = []
    for bits in sorted(size.single_bits):
        row = [str(bits)]
        for column in columns:
            unused = [100 * value for value in runs.values("unused", "plain", bits, *column)]
            row.append(f"{spread(unused, 1)}, {spread(runs.values('perplexity', 'plain', bits, *column), 0)}")
        rows.append(row)
    return table(header, rows)


def four_table(study: Study, size: Size, runs: Runs, published: dict[str, Any]) -> str:
    """The comparison with four codebooks, beside the published one."""
    header = ["bits, quantizer", "Peak SNR", "SSIM", "perplexity", "published Peak SNR", "published SSIM"]
    header += ["WMOPS a vector, paper", "WMOPS a vector, all stages"]
    given = published["four"]
    rows = []
    for bits in size.multi_bits:
        for kind in KINDS:
            stated = [
                _at(given["bits"], given[metric][kind], bits, digits)
                for metric, digits in (("psnr", 2), ("ssim", 3))
            ]
            found = [
                spread(runs.values(metric, kind, bits), digits)
                for metric, digits in (("psnr", 2), ("ssim", 3), ("perplexity", 0))
            ]
            costs = [f"{wmops(of_four(kind, bits), study, count):.3g}" for count in ("paper", "exact")]
            rows.append([f"{bits}, {kind}", *found, *stated, *costs])
        beam = [
            spread(runs.variants("beam 16", name, bits), digits)
            for name, digits in (("psnr", 2), ("ssim", 3))
        ]
        rows.append([f"{bits}, residual, searched with a beam of 16", *beam, "-", "-", "-", "-", "-"])
    return table(header, rows)


def _title(estimator: Estimator, replacement: bool) -> str:
    return f"{LABELS[estimator]}{'' if replacement else ', no replacement'}"


def _published_title(name: str) -> str:
    estimator, _, without = name.partition(" ")
    return f"{LABELS[estimator]}{', no replacement' if without else ''}"


def _at(bits: Sequence[int], values: Sequence[float], wanted: int, digits: int) -> str:
    return f"{values[bits.index(wanted)]:.{digits}f}" if wanted in bits else "-"
