"""Which file of a folder goes where."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from codec.errors import CodecError, UsageError


@dataclass(frozen=True)
class Job:
    """One file of a folder and what it becomes."""

    source: str
    target: str


@dataclass
class Plan:
    """What is to do in a folder: jobs, files refused with the reason, and links that are not followed."""

    jobs: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def plan(source: str, target: str, suffixes: tuple[str, ...], suffix: str) -> Plan:
    """Find the files of a folder and mirror its tree.

    Nothing outside both folders is read or written: links to folders are not followed, nor are links to files
    outside `source`, and a file whose place in `target` lies outside of it is refused.

    Args:
        source: the folder to take files from.
        target: the folder to put files into; it need not exist.
        suffixes: of the files to take, in lower case with their dots.
        suffix: of the files to write, with its dot.

    Raises:
        UsageError: `source` is no folder, or `target` is a file.
        CodecError: no file is to be taken.
    """
    if not os.path.isdir(source):
        raise UsageError(f"{source} is no folder: leave -r out for a single file")
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UsageError(f"{target} is no folder: with -r, OUT is a folder")
    result = Plan()
    taken: dict[str, str] = {}
    for name in _walk(Path(source), suffixes, result.links):
        job = Job(os.path.join(source, name), os.path.join(target, os.path.splitext(name)[0] + suffix))
        reason = _refusal(job, Path(target), taken.setdefault(job.target, job.source))
        if reason:
            result.refused.append((job, reason))
        else:
            result.jobs.append(job)
    if not result.jobs and not result.refused:
        raise CodecError(
            f"{source} holds no files to take, which end in {', '.join(suffixes)}: check the folder"
        )
    return result


def _walk(root: Path, suffixes: tuple[str, ...], links: list[str]) -> Iterator[str]:
    """The files to take, relative to `root`, in a fixed order; adds links not followed to `links`."""
    inside = root.resolve()
    for folder, folders, files in os.walk(root):
        folders.sort()
        links += [str(path) for name in folders if (path := Path(folder, name)).is_symlink()]
        for name in sorted(name for name in files if name.lower().endswith(suffixes)):
            path = Path(folder, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                links.append(str(path))
            else:
                yield str(path.relative_to(root))


def _refusal(job: Job, target: Path, first: str) -> str | None:
    """Why a job cannot be done; `first` is the file that claimed its target first."""
    if first != job.source:
        return f"{job.source}: {first} becomes {job.target} too; put them into different folders"
    if not Path(job.target).parent.resolve().is_relative_to(target.resolve()):
        place = Path(job.target).parent
        return f"{job.source}: {place} is a link that leads outside of {target}; remove the link"
    return None
