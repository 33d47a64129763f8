"""The published claims about images, held against the finished runs."""

from __future__ import annotations

import numpy as np

from recipes.common.report import spread, table, verdict
from recipes.image_vqvae.results import LABELS, Runs, differences, pairs, updates_to_reach
from recipes.image_vqvae.study import COMPARED, Kind, Size, Study, of_four, wmops

Row = list[str]


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
    for bits in sorted(size.banded_bits):
        for other, theirs, ours in (
            ("ste", False, True),
            ("ste", True, True),
            ("ste", False, False),
            ("ema", True, True),
            ("ema", False, False),
        ):
            first = runs.by_seed("plain", bits, "nsvq", ours)
            second = runs.by_seed("plain", bits, other, theirs)  # type: ignore[arg-type]
            found = differences(first, second, "psnr")
            forms = {
                (True, True): "both with",
                (False, False): "both without",
                (True, False): "NSVQ alone with",
            }
            claim = f"NSVQ above {LABELS[other]} at {bits} bit, {forms[ours, theirs]} replacement"
            similar = spread(differences(first, second, "ssim"), 3)
            rows.append([claim, f"{spread(found)} dB, SSIM {similar}", verdict(found)])
    return rows


def _rising(size: Size, runs: Runs) -> list[Row]:
    rows = []
    for estimator in COMPARED:
        for metric, name, digits in (("psnr", "Peak SNR", 2), ("ssim", "SSIM", 3)):
            known = [runs.values(metric, "plain", bits, estimator) for bits in sorted(size.single_bits)]
            means = [float(np.mean(values)) for values in known if values]
            answer = "not run"
            if len(means) == len(known):
                answer = "holds" if bool((np.diff(means) > 0).all()) else "does not hold"
            listed = ", ".join(f"{mean:.{digits}f}" for mean in means)
            claim = f"{LABELS[estimator]} with replacement strictly rising with bits in {name}"
            rows.append([claim, listed, f"{answer} (means)"])
    return rows


def _faster(size: Size, runs: Runs) -> list[Row]:
    rows = []
    for bits in sorted(size.banded_bits):
        first = runs.by_seed("plain", bits)
        for replacement in (False, True):
            second = runs.by_seed("plain", bits, "ste", replacement)
            saved, needed = [], []
            for ours, theirs in pairs(first, second):
                reached = updates_to_reach(ours, theirs["curve"][-1]["test_error"])
                needed.append(reached)
                saved.append(float(size.training.updates - (reached or size.training.updates)))
            form = "with" if replacement else "without"
            listed = ", ".join("never" if one is None else str(one) for one in needed) or "-"
            rows.append(
                [
                    f"NSVQ reaches the last test error of STE ({form} replacement) earlier, {bits} bit",
                    f"after {listed} of {size.training.updates} updates",
                    verdict(saved),
                ]
            )
    return rows


def _less_spread(size: Size, runs: Runs) -> list[Row]:
    rows = []
    for bits in sorted(size.banded_bits):
        listed = []
        for estimator in COMPARED:
            for replacement in (True, False):
                values = runs.values("psnr", "plain", bits, estimator, replacement)
                if len(values) > 1:
                    form = "" if replacement else " without"
                    listed.append(f"{LABELS[estimator]}{form} {np.std(values, ddof=1):.3f}")
        answer = f"too few seeds ({size.seeds}) for a verdict"
        rows.append(
            [f"NSVQ has the least spread over seeds, {bits} bit", f"{', '.join(listed) or '-'} dB", answer]
        )
    return rows


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
    for bits in size.multi_bits:
        cost = wmops(of_four(dear, bits), study, "paper")
        costs = {rate: wmops(of_four(cheap, rate), study, "paper") for rate in size.multi_bits}
        affordable = [rate for rate, other in costs.items() if other <= cost]
        if affordable:
            rate = max(affordable)
            found = differences(runs.by_seed(cheap, rate), runs.by_seed(dear, bits), "psnr")
            claim = (
                f"at no higher cost, {cheap} above {dear}: {rate} bit ({costs[rate]:.2g} WMOPS a vector)"
                f" against {bits} bit ({cost:.2g})"
            )
            rows.append([claim, f"{spread(found)} dB", verdict(found)])
    return rows
