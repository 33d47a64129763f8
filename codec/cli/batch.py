"""Whole folders: many files at once, in processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

from codec.cli.console import Console, count, say
from codec.cli.failures import explain
from codec.cli.folders import Job, Plan, plan
from codec.cli.reports import Report
from codec.cli.signals import Interrupted, Stop

# How soon a signal is noticed while the workers are busy.
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a job went: the report of the verb, or the sentence that says why there is none."""

    job: Job
    report: Report | None = None
    error: str | None = None


def code_folder(
    work: Callable[[Job], Report],
    source: str,
    target: str,
    suffixes: tuple[str, ...],
    suffix: str,
    processes: int | None,
    console: Console,
) -> int:
    """Code all files of a folder into another one and tell how it went.

    Args:
        work: codes one file; it is sent to the processes, so it must be picklable.
        source: the folder to take files from.
        target: the folder to put files into; it need not exist.
        suffixes: of the files to take, in lower case with their dots.
        suffix: of the files to write, with its dot.
        processes: how many files at once, None for one a processor; with 1 all happens in this process.
        console: for progress, warnings and summary.

    Returns:
        the exit code: 1 if a file failed; the others are done.
    """
    todo = plan(source, target, suffixes, suffix)
    for link in todo.links:
        console.warn(f"{link} is a link that leads elsewhere: not followed")
    started = time.perf_counter()
    outcomes = run(work, todo, processes, console)
    return _tell(outcomes, time.perf_counter() - started, console)


def _tell(outcomes: list[Outcome], elapsed: float, console: Console) -> int:
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for warning in [warning for report in reports for warning in report.warnings]:
        console.warn(warning)
    for outcome in failed:
        say(f"codec: error: {outcome.error}")
    seconds = sum(report.seconds for report in reports)
    size = sum(report.file_bytes for report in reports)
    bitrate = f", {8 * size / seconds / 1000:.2f} kbit/s" if seconds else ""
    console.note(
        f"{count(len(reports), 'file')} done, {len(failed)} failed: {seconds:.2f} s{bitrate}, "
        f"{seconds / elapsed:.1f} x real time"
    )
    console.report(
        {
            "files": [report.values() for report in reports],
            "failed": [{"input": outcome.job.source, "error": outcome.error} for outcome in failed],
            "seconds": seconds,
            "file_bytes": size,
            "elapsed": elapsed,
        }
    )
    return 1 if failed else 0


def run(work: Callable[[Job], Report], todo: Plan, processes: int | None, console: Console) -> list[Outcome]:
    """Do all jobs, with a progress bar, and return how each went, the refused ones included.

    Args:
        work: does one job and returns its report; it is sent to the processes, so it must be picklable.
        todo: from `plan`.
        processes: how many at once, None for one a processor; with 1 everything happens in this process.
        console: for progress and warnings.

    Raises:
        Interrupted: a signal came; unfinished files are removed.
    """
    processes = min(processes or _num_processors(), len(todo.jobs))
    if processes <= 1:
        outcomes: Iterable[Outcome] = map(partial(_attempt, work), todo.jobs)
    else:
        outcomes = _in_processes(partial(_attempt_in_worker, work), todo.jobs, processes)
    done = [Outcome(job, error=reason) for job, reason in todo.refused]
    with console.progress(count(len(todo.jobs), "file"), len(todo.jobs)) as advance:
        for outcome in outcomes:
            done.append(outcome)
            advance(1)
    return sorted(done, key=lambda outcome: outcome.job.source)


def _num_processors() -> int:
    """How many this process may use, where the system tells that."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _attempt(work: Callable[[Job], Report], job: Job) -> Outcome:
    try:
        os.makedirs(os.path.dirname(job.target) or ".", exist_ok=True)
        return Outcome(job, work(job))
    except Exception as error:
        sentence, _ = explain(error)
        return Outcome(job, error=sentence if job.source in sentence else f"{job.source}: {sentence}")


def _attempt_in_worker(work: Callable[[Job], Report], job: Job) -> Outcome:
    try:
        return _attempt(work, job)
    except Interrupted as end:
        # Everything is cleaned up, and the pool would hand out the next file if this process lived on.
        os._exit(end.exit_code)


def _in_processes(attempt: Callable[[Job], Outcome], jobs: list[Job], processes: int) -> Iterator[Outcome]:
    with Stop() as stop:
        executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
        try:
            pending = _submit(executor, attempt, jobs)
            while pending:
                ready, _ = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
                stop.check()
                for future in ready:
                    yield _result(future, pending.pop(future))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            executor.shutdown()


def _submit(
    executor: ProcessPoolExecutor, attempt: Callable[[Job], Outcome], jobs: list[Job]
) -> dict[Future[Outcome], Job]:
    """Start the workers deaf to SIGINT, which a terminal sends to them too: they listen to this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return {executor.submit(attempt, job): job for job in jobs}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(future: Future[Outcome], job: Job) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return Outcome(
            job, error=f"{job.source}: its process was ended from outside; is there enough memory?"
        )
