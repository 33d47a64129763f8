"""Configuration: frozen dataclasses and plain yaml, each made from the other.

An unknown key or a value of the wrong type is an error that names the file and the key. A field whose type is
a union of dataclasses is told apart by the key ``kind``, which every member of such a union has.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml

from codec.errors import CodecError

T = TypeVar("T")

_MAX_LAYERS = 64
# What a yaml reader of version 1.1 takes for a text, since its numbers need a point.
_SCIENTIFIC = re.compile(r"[-+]?\d+[eE][-+]?\d+")
Estimator = Literal["nsvq", "ste", "ema", "rotation", "diveq"]


def _require(config: object, *names: str, low: int = 1, high: int = 65_535) -> None:
    """Refuse sizes out of range: a configuration may come with a file from anywhere."""
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high:
            raise CodecError(f"{name} must lie in {low}..{high}, not {value}")


def _check_overlap(hop: int, overlap: int) -> None:
    if not 0 < overlap <= hop or (hop - overlap) % 2:
        raise CodecError(
            f"the overlap of {overlap} samples must be at most the hop of {hop} and differ evenly from it"
        )


def _check_codebooks(config: Any) -> None:
    _require(config, "num_codebooks")
    if config.codebook_size < 2 or config.codebook_size & (config.codebook_size - 1):
        raise CodecError(f"codebook_size must be a power of two from 2 on, not {config.codebook_size}")


@dataclasses.dataclass(frozen=True)
class SpectralConfig:
    """The learned transform codec: causal MDCT, ConvNeXt blocks at frame rate, linear path.

    ``width`` channels, ``blocks`` a side, ``expansion`` of the pointwise layers, ``kernel`` frames of the
    depthwise convolution. ``overlap`` is how many samples neighbouring MDCT frames share, at most one hop:
    the latency is a hop plus the overlap. ``compression`` is the power that compresses the MDCT bins at the
    input.
    """

    kind: Literal["spectral"] = "spectral"
    width: int = 384
    blocks: int = 8
    expansion: int = 3
    kernel: int = 7
    overlap: int = 320
    compression: float = 0.4

    def __post_init__(self) -> None:
        _require(self, "width", "expansion", "kernel", "overlap")
        _require(self, "blocks", high=_MAX_LAYERS)
        if not 0.0 < self.compression <= 1.0:
            raise CodecError(f"compression must lie in (0, 1], not {self.compression}")


@dataclasses.dataclass(frozen=True)
class SeanetConfig:
    """The SoundStream and EnCodec shape: strided convolutions with residual units between them.

    ``strides`` are the encoder's, first layer first; their product is the hop. ``filters`` double at each
    stride. ``dilations`` has one entry for each residual unit of a stage; ``compress`` divides the channels
    inside a unit. ``kernel`` is that of the first and last convolutions, except that the one which makes the
    latent has ``last_kernel``, and ``residual_kernel`` that of the dilated ones. With ``true_skip`` units add
    to their input itself, otherwise to a pointwise convolution of it.
    """

    kind: Literal["seanet"] = "seanet"
    filters: int = 32
    strides: tuple[int, ...] = (2, 4, 5, 8)
    dilations: tuple[int, ...] = (1,)
    kernel: int = 7
    residual_kernel: int = 3
    last_kernel: int = 7
    compress: int = 2
    lstm_layers: int = 2
    true_skip: bool = False

    def __post_init__(self) -> None:
        _require(self, "filters", "kernel", "residual_kernel", "last_kernel", "compress")
        if not self.strides or not self.dilations or min(self.strides) < 1 or min(self.dilations) < 1:
            raise CodecError("strides and dilations must be non-empty lists of positive numbers")
        _require(self, "lstm_layers", low=0, high=_MAX_LAYERS)
        if max(len(self.strides), len(self.dilations)) > _MAX_LAYERS:
            raise CodecError(f"strides and dilations must have at most {_MAX_LAYERS} entries")
        if self.filters % self.compress:
            raise CodecError(
                f"compress must divide the {self.filters} filters, which {self.compress} does not"
            )


@dataclasses.dataclass(frozen=True)
class BottleneckConfig:
    """The residual quantizer: ``num_codebooks`` of ``codebook_size`` words, searched one after the other.

    ``estimator`` is how gradients pass it in training, ``beam`` how many candidates its search keeps (in
    training ``train_beam``), ``replacement`` which words take the place of unused ones: drawn by their
    usage, or halves of the heaviest cells.
    """

    kind: Literal["residual"] = "residual"
    num_codebooks: int = 20
    codebook_size: int = 1024
    estimator: Estimator = "nsvq"
    beam: int = 1
    train_beam: int = 1
    replacement: Literal["usage", "split"] = "usage"

    def __post_init__(self) -> None:
        _check_codebooks(self)
        _require(self, "beam", "train_beam")


@dataclasses.dataclass(frozen=True)
class AdditiveConfig:
    """The additive quantizer: ``num_codebooks`` of ``codebook_size`` words, searched together.

    ``polish`` is how often each code is chosen anew after the beam search; the rest is as for the residual
    one. Up to 8192 words altogether, the search keeps tables of (words x words) numbers.
    """

    kind: Literal["additive"] = "additive"
    num_codebooks: int = 16
    codebook_size: int = 256
    estimator: Estimator = "nsvq"
    beam: int = 16
    train_beam: int = 4
    polish: int = 0
    replacement: Literal["usage", "split"] = "usage"

    def __post_init__(self) -> None:
        _check_codebooks(self)
        _require(self, "beam", "train_beam")
        if self.polish < 0:
            raise CodecError(f"polish must not be negative, but is {self.polish}")


@dataclasses.dataclass(frozen=True)
class ProductConfig:
    """The product quantizer: each of ``num_codebooks`` codes an equal share of the latent's numbers.

    ``rotation``: learn at the k-means start an orthogonal matrix that the latents go through first. The
    rest is as for the residual one, but that all candidates are searched, whatever the beams.
    """

    kind: Literal["product"] = "product"
    num_codebooks: int = 16
    codebook_size: int = 1024
    estimator: Estimator = "nsvq"
    beam: int = 1
    train_beam: int = 1
    rotation: bool = False
    replacement: Literal["usage", "split"] = "usage"

    def __post_init__(self) -> None:
        _check_codebooks(self)
        _require(self, "beam", "train_beam")


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """One codec: audio at ``sample_rate`` becomes one latent of ``dim`` numbers every ``hop`` samples."""

    name: str
    sample_rate: int = 16_000
    hop: int = 320
    dim: int = 128
    network: SpectralConfig | SeanetConfig = SpectralConfig()
    bottleneck: BottleneckConfig | AdditiveConfig | ProductConfig = BottleneckConfig()

    def __post_init__(self) -> None:
        _require(self, "hop", "dim")
        _require(self, "sample_rate", low=8_000, high=192_000)
        encoded = self.name.encode(errors="replace")
        path_like = set("/\\:") & set(self.name) or self.name in (".", "..")
        if not 1 <= len(encoded) <= 32 or not self.name.isprintable() or path_like:
            raise CodecError(f"the model name {self.name!a} must be 1 to 32 printable bytes and not a path")
        if isinstance(self.network, SpectralConfig):
            _check_overlap(self.hop, self.network.overlap)
        if isinstance(self.network, SeanetConfig) and math.prod(self.network.strides) != self.hop:
            raise CodecError(
                f"the strides {list(self.network.strides)} multiply to {math.prod(self.network.strides)},"
                f" not to the hop of {self.hop}: change one of the two"
            )
        if isinstance(self.bottleneck, ProductConfig) and self.dim % self.bottleneck.num_codebooks:
            raise CodecError(
                f"a product bottleneck cuts latents into equal shares: its num_codebooks must divide the dim"
                f" of {self.dim}, which {self.bottleneck.num_codebooks} does not"
            )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a yaml file whose top level is a mapping.

    Raises:
        CodecError: the file is missing, is no yaml or holds no mapping.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CodecError(f"cannot read the configuration {path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CodecError(f"{path} is no valid yaml: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise CodecError(f"{path} must hold a mapping of names to values at its top level")
    return data


def from_mapping(cls: type[T], data: Any, where: str) -> T:
    """Build the frozen dataclass ``cls`` from plain data, checking every key and type.

    Args:
        cls: a dataclass type.
        data: what yaml gave: a mapping of field names to plain values.
        where: the file, and the key inside it, for messages.

    Raises:
        CodecError: an unknown or missing key, or a value of the wrong type; the message names it.
    """
    if not isinstance(data, Mapping):
        raise CodecError(f"{where} must be a mapping, not {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls))}
    for key in data:
        if key not in fields:
            raise CodecError(f"{where}: unknown key {key!r}, known are {', '.join(fields)}")
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in data:
            raise CodecError(f"{where}: the key {name!r} is missing")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in data.items()}
    try:
        return cls(**values)
    except CodecError as error:
        raise CodecError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise CodecError(
                f"{where} must be one of {', '.join(map(str, arguments))}, not {reprlib.repr(value)}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise CodecError(f"{where} must be a list, not {reprlib.repr(value)}")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(arguments[0], item, where) for item in value)
        if len(value) != len(arguments):
            raise CodecError(f"{where} must be a list of {len(arguments)} values, not {reprlib.repr(value)}")
        return tuple(_convert(kind, item, where) for kind, item in zip(arguments, value, strict=True))
    if dataclasses.is_dataclass(hint):
        return from_mapping(cast(Any, hint), value, where)
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        return _to_float(value, where)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise CodecError(f"{where} must be of type {hint.__name__}, not {reprlib.repr(value)}")
    return value


def _to_float(value: int | str, where: str) -> float:
    if isinstance(value, str) and not _SCIENTIFIC.fullmatch(value):
        raise CodecError(f"{where} must be of type float, not {reprlib.repr(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise CodecError(f"{where} is too large: {reprlib.repr(value)}") from error


def _convert_union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if len(members) == 1:
        return _convert(members[0], value, where)
    if not isinstance(value, Mapping):
        raise CodecError(f"{where} must be a mapping with the key 'kind', not {reprlib.repr(value)}")
    by_kind = {typing.get_args(typing.get_type_hints(member)["kind"])[0]: member for member in members}
    kind = value.get("kind", next(iter(by_kind)))
    if not isinstance(kind, str) or kind not in by_kind:
        raise CodecError(f"{where}: unknown kind {reprlib.repr(kind)}, known are {', '.join(by_kind)}")
    return from_mapping(by_kind[kind], value, where)


def to_mapping(config: Any) -> dict[str, Any]:
    """The plain data (mappings, lists, numbers, strings) of a dataclass, ready for yaml."""

    def plain(value: Any) -> Any:
        """Tuples as lists, at any depth."""
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return cast(dict[str, Any], plain(dataclasses.asdict(config)))
