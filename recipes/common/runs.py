"""The main loop of a study: do the runs that are missing, and count those that are."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from recipes.common.records import Records, Results, Setting


def run_missing(
    records: Records,
    todo: Sequence[Setting],
    shared: Mapping[str, Any],
    run: Callable[[Setting], Mapping[str, Any]],
) -> None:
    """Do the runs that are not among the records, keep each, and print a line about it on stderr.

    Args:
        records: of the study.
        todo: settings, frozen dataclasses, in the order to run.
        shared: what else a result depends on, kept with each.
        run: gives the result of a setting.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for number, setting in enumerate(todo, start=1):
        key = {**dataclasses.asdict(setting), **shared}  # type: ignore[call-overload]
        if records.find(key) is None:
            start = time.perf_counter()
            records.add(key, run(setting))
            line = f"{number}/{len(todo)} {setting} in {time.perf_counter() - start:.0f} s"
            console.print(line, markup=False)


def count_missing(results: Results[Setting], todo: Sequence[Setting]) -> int:
    """How many of the runs are not among the results."""
    return sum(
        setting.seed not in results.get(dataclasses.replace(setting, seed=0), {})  # type: ignore[attr-defined, type-var]
        for setting in todo
    )


def shared_setting(study: Any, size: Any) -> dict[str, Any]:
    """What all runs of a size have in common, as it is kept with each.

    Args:
        study: a dataclass; its fields of the type of ``size``, the sizes, are left out.
        size: a dataclass; its field ``seeds`` is left out, so that more of them may be added later.
    """
    sizes = {
        field.name
        for field in dataclasses.fields(study)
        if isinstance(getattr(study, field.name), type(size))
    }
    common = {key: value for key, value in dataclasses.asdict(study).items() if key not in sizes}
    own = {key: value for key, value in dataclasses.asdict(size).items() if key != "seeds"}
    return {"study": common, "size": own}
