"""Large files in parts of a bounded size, for ways that carry only small ones, and joined again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from codec.atomic import AtomicFile
from codec.errors import CodecError, UsageError

INDEX_SUFFIX = ".parts"


def split_file(path: Path, folder: Path, max_bytes: int) -> Path:
    """Cut a file into parts NAME.0, NAME.1, ... in ``folder``, beside an index that lists and checks them.

    Returns the index, NAME.parts: a line for the whole file, then one for each part, as ``sha256sum`` writes
    them.

    Raises:
        UsageError: ``max_bytes`` is not positive.
        CodecError: the file cannot be read or a part not be written.
    """
    if max_bytes < 1:
        raise UsageError(f"parts must hold at least a byte, not {max_bytes}")
    whole, lines, number = hashlib.sha256(), [], 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source:
            while (data := source.read(max_bytes)) or not number:
                part = folder / f"{path.name}.{number}"
                with AtomicFile(part, force=True) as file:
                    file.write(data)
                whole.update(data)
                lines.append(f"{hashlib.sha256(data).hexdigest()}  {part.name}\n")
                number += 1
        index = folder / f"{path.name}{INDEX_SUFFIX}"
        with AtomicFile(index, force=True) as file:
            file.write("".join([f"{whole.hexdigest()}  {path.name}\n", *lines]).encode())
    except OSError as error:
        raise CodecError(f"{path} cannot be cut into parts in {folder}: {error.strerror}") from error
    return index


def join_parts(index: Path) -> Path:
    """Join the parts beside an index of `split_file` into the file that was cut, beside them; its path.

    Raises:
        CodecError: the index is none, or a part is missing or damaged; nothing is written then.
    """
    try:
        lines = [line.split("  ", 1) for line in index.read_text(encoding="utf-8").splitlines()]
        names = [line[1] for line in lines]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise CodecError(f"{index} is no readable list of parts: fetch it again") from error
    if len(names) < 2 or any(name != Path(name).name for name in names):
        raise CodecError(f"{index} is no list of parts: name a file that ends in {INDEX_SUFFIX}")
    joined = index.with_name(names[0])
    with AtomicFile(joined, force=True) as file:
        for digest, name in lines[1:]:
            file.write(_read(index.with_name(name), digest))
    return joined


def _read(part: Path, digest: str) -> bytes:
    try:
        data = part.read_bytes()
    except OSError as error:
        raise CodecError(f"{part} is missing: fetch all parts into one folder") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise CodecError(f"{part} is not what was cut: fetch it again")
    return data
