"""A neural audio codec: sound to a few kbit/s and back.

`Codec` encodes and decodes whole signals, `StreamEncoder` and `StreamDecoder` work on live ones. The names
load their modules, and torch with them, on first use only, so that `import codec` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec.api import Codec
    from codec.streaming import StreamDecoder, StreamEncoder

__all__ = ["DEFAULT_MODEL", "Codec", "StreamDecoder", "StreamEncoder", "__version__"]

__version__ = "0.1.0"

DEFAULT_MODEL = "speech_16k_6"
"""The shipped model that is taken where none is named. Files name the model they need, so those of an earlier
one stay readable as long as its folder is shipped, which is forever."""

_HOME = {"Codec": "codec.api", "StreamDecoder": "codec.streaming", "StreamEncoder": "codec.streaming"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'codec' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
