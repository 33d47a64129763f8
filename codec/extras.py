"""Optional packages, imported where they are used and named in one sentence where they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from codec.errors import CodecError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: dotted name, as in an import statement (`"librosa"`, `"matplotlib.pyplot"`).
        extra: the extra of this project that installs it (`"train"`, `"eval"`, `"pesq"`, `"dev"`).

    Raises:
        CodecError: the package is not installed; the sentence names the `pip install` line.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # An installed package whose own dependency is missing must name that one, not itself.
        missing = (error.name or package).partition(".")[0]
        cause = "" if missing == package else f" ({missing} is missing)"
        raise CodecError(f"This needs {package}{cause}: pip install 'codec[{extra}]'") from error
