"""torchaudio beside a CPU-only torch.

torchaudio's compiled extension is linked against CUDA, so beside a CPU build of torch its import ends in an
OSError, although transforms, functional and the dataset classes are plain Python. Where that happens the
extension is replaced by a stub that says "not available"; what needs it takes torchaudio's Python path
(filters) or raises (forced alignment).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from codec.extras import require

_EXTENSION = "torchaudio._extension"


def torchaudio() -> ModuleType:
    """Return the torchaudio module, with its compiled extension stubbed where that cannot load.

    Raises:
        CodecError: torchaudio is not installed.
    """
    try:
        return require("torchaudio", extra="train")
    except OSError:
        _forget_failed_import()
        sys.modules[_EXTENSION] = _extension_stub()
        return require("torchaudio", extra="train")


def _forget_failed_import() -> None:
    """Drop what the failed import left, so that the retry starts anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _extension_stub() -> ModuleType:
    stub = ModuleType(_EXTENSION, "Stands in for the compiled extension, which needs CUDA libraries.")
    names: dict[str, object] = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "fail_if_no_align": _unavailable,
    }
    vars(stub).update(names)
    return stub


def _unavailable(function: Callable[..., Any]) -> Callable[..., NoReturn]:
    """Replace a function that needs the extension by one that says so when it is called."""

    def fail(*args: object, **kwargs: object) -> NoReturn:
        """Name the function that needs the extension."""
        raise RuntimeError(
            f"torchaudio's {function.__name__} needs its compiled extension, which did not load"
        )

    return fail
