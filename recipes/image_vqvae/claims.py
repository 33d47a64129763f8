"""The published claims about images, held against the finished runs."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

from codec.config import Estimator
from recipes.common.report import deviation_ratio, spread, table, verdict
from recipes.image_vqvae.results import LABELS, Runs, differences, pairs, updates_to_reach
from recipes.image_vqvae.study import COMPARED, Kind, Size, Study, of_four, wmops

Row = list[str]
# The share of unused words that still counts as next to none, in percent.
_HARDLY_UNUSED = 5.0
# What a search costs: as published, or as it is done here.
_COUNTS: dict[Literal["paper", "exact"], str] = {"paper": "paper's count", "exact": "all stages"}


def claims(study: Study, size: Size, runs: Runs) -> str:
    """A table: claim, figures, verdict.

    "Holds" needs a 95 % interval over seeds on the claimed side of zero.
    """
    rows = [
        *_above(size, runs),
        *_rising(size, runs),
        *_faster(size, runs),
        *_less_spread(size, runs),
        *_unused(size, runs),
        *_additive_and_residual(size, runs),
        *_at_equal_cost(study, size, runs, "product", "residual"),
        *_at_equal_cost(study, size, runs, "residual", "additive"),
    ]
    return table(["claim", "found", ""], rows)


def _above(size: Size, runs: Runs) -> list[Row]:
    rows = []
    forms = {
        (True, False): "NSVQ alone with",
        (True, True): "both with",
        (False, False): "both without",
    }
    others: list[tuple[Estimator, tuple[bool, bool]]] = [
        (other, form) for other in ("ste", "ema") for form in forms
    ]
    for bits, (other, (ours, theirs)) in itertools.product(sorted(size.single_bits), others):
        first = runs.by_seed("plain", bits, "nsvq", ours)
        second = runs.by_seed("plain", bits, other, theirs)
        found = differences(first, second, "psnr")
        # Without bands only what was published counts: replacement for NSVQ alone.
        if bits in size.banded_bits or (other == "ste" and (ours, theirs) == (True, False)):
            claim = f"NSVQ above {LABELS[other]} at {bits} bit, {forms[ours, theirs]} replacement"
            similar = differences(first, second, "ssim")
            answer = f"{verdict(found)}, SSIM {verdict(similar)}"
            rows.append([claim, f"{spread(found)} dB, SSIM {spread(similar, 3)}", answer])
    return rows


def _rising(size: Size, runs: Runs) -> list[Row]:
    """Each rate above the one before, by the differences that runs of the same seed have."""
    rows = []
    for estimator in COMPARED:
        for metric, name, digits in (("psnr", "Peak SNR", 2), ("ssim", "SSIM", 3)):
            known = [runs.by_seed("plain", bits, estimator) for bits in sorted(size.single_bits)]
            steps = {
                verdict(differences(more, less, metric)) for less, more in itertools.pairwise(known)
            } or {"not run"}
            # One step that falls is enough; all have to rise.
            order = ("not run", "does not hold", "equal", "not decided", "holds")
            values = [[run[metric] for run in by_seed.values()] for by_seed in known]
            listed = ", ".join(spread(of_rate, digits) for of_rate in values)
            claim = f"{LABELS[estimator]} with replacement strictly rising with bits in {name}"
            rows.append([claim, listed, min(steps, key=order.index)])
    return rows


def _faster(size: Size, runs: Runs) -> list[Row]:
    """By how many updates NSVQ has the last error of STE before STE has that of NSVQ, or the end comes."""
    rows = []
    for bits, replacement in itertools.product(sorted(size.banded_bits), (False, True)):
        first, second = runs.by_seed("plain", bits), runs.by_seed("plain", bits, "ste", replacement)
        saved, needed = [], []
        for ours, theirs in pairs(first, second):
            reached = updates_to_reach(ours, theirs["curve"][-1]["test_error"])
            other = updates_to_reach(theirs, ours["curve"][-1]["test_error"])
            needed.append("never" if reached is None else str(reached))
            last = size.training.updates
            saved.append(float((other or last) - (reached or last)))
        form = "with" if replacement else "without"
        rows.append(
            [
                f"NSVQ reaches the last test error of STE ({form} replacement) earlier, {bits} bit",
                f"after {', '.join(needed) or '-'} of {size.training.updates} updates",
                verdict(saved),
            ]
        )
    return rows


def _less_spread(size: Size, runs: Runs) -> list[Row]:
    """By the ratio of the standard deviations and its 95 % interval, as normal draws have it (F test)."""
    rows = []
    for bits, other, replacement in itertools.product(sorted(size.banded_bits), COMPARED[1:], (True, False)):
        ours = runs.values("psnr", "plain", bits)
        theirs = runs.values("psnr", "plain", bits, other, replacement)
        form = "with" if replacement else "without"
        claim = f"NSVQ spreads less over seeds than {LABELS[other]} ({form} replacement), {bits} bit"
        if min(len(ours), len(theirs)) < 2:
            rows.append([claim, "-", "not run" if not ours or not theirs else "not decided"])
            continue
        ratio, low, high = deviation_ratio(ours, theirs)
        listed = " against ".join(f"{np.std(values, ddof=1):.3f}" for values in (ours, theirs))
        listed += f" dB, {_times(ratio)} times ({_times(low)} to {_times(high)})"
        answer = "holds" if low > 1 else "does not hold" if high < 1 else "not decided"
        rows.append([claim, listed, answer])
    return rows


def _times(ratio: float) -> str:
    """Two digits, without an exponent."""
    return np.format_float_positional(ratio, precision=2, unique=False, fractional=False, trim="-")


def _unused(size: Size, runs: Runs) -> list[Row]:
    rows = []
    for bits in sorted(size.banded_bits):
        for ours, theirs in ((False, False), (True, False), (True, True)):
            first = runs.by_seed("plain", bits, "nsvq", ours)
            second = runs.by_seed("plain", bits, "ste", theirs)
            fewer = [100 * value for value in differences(second, first, "unused")]
            words = {True: "with", False: "without"}
            claim = f"fewer unused words, {bits} bit: NSVQ {words[ours]}, STE {words[theirs]} replacement"
            rows.append([claim, f"{spread(fewer, 1)} points fewer", verdict(fewer)])
            more = differences(first, second, "perplexity")
            claim = f"higher perplexity, {bits} bit: NSVQ {words[ours]}, STE {words[theirs]} replacement"
            rows.append([claim, spread(more, 0), verdict(more)])
        unused = [100 * value for value in runs.values("unused", "plain", bits)]
        claim = f"hardly an unused word (under {_HARDLY_UNUSED:g} %) of NSVQ with replacement, {bits} bit"
        rows.append([claim, f"{spread(unused, 1)} %", verdict([_HARDLY_UNUSED - one for one in unused])])
    return rows


def _additive_and_residual(size: Size, runs: Runs) -> list[Row]:
    rows = []
    for bits in size.multi_bits:
        additive, residual = runs.by_seed("additive", bits), runs.by_seed("residual", bits)
        better = differences(residual, additive, "psnr")
        similar = differences(additive, residual, "ssim")
        rows += [
            [f"residual above additive in Peak SNR, {bits} bit", f"{spread(better)} dB", verdict(better)],
            [f"additive above residual in SSIM, {bits} bit", spread(similar, 3), verdict(similar)],
        ]
    return rows


def _at_equal_cost(study: Study, size: Size, runs: Runs, cheap: Kind, dear: Kind) -> list[Row]:
    """For each rate of the dearer search the highest rate at which the cheaper one costs no more."""
    rows = []
    for (count, name), bits in itertools.product(_COUNTS.items(), size.multi_bits):
        cost = wmops(of_four(dear, bits), study, count)
        costs = {rate: wmops(of_four(cheap, rate), study, count) for rate in size.multi_bits}
        affordable = [rate for rate, other in costs.items() if other <= cost]
        if affordable:
            rate = max(affordable)
            found = differences(runs.by_seed(cheap, rate), runs.by_seed(dear, bits), "psnr")
            claim = (
                f"at no higher cost ({name}), {cheap} above {dear}:"
                f" {rate} bit ({costs[rate]:.2g} WMOPS a vector) against {bits} bit ({cost:.2g})"
            )
            rows.append([claim, f"{spread(found)} dB", verdict(found)])
    return rows
