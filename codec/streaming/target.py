"""What a stream is asked for: its rate mode and target, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from codec.errors import UsageError
from codec.model import CodecModel
from codec.rate import (
    DEFAULT_QUALITY,
    check_bitrate,
    check_quality,
    codebook_bitrate,
    codebooks_for_bitrate,
)

Mode = Literal["cbr", "abr", "vbr"]

DEFAULT_BITRATE = 6.0


@dataclass(frozen=True)
class Target:
    """A checked target.

    Attributes:
        mode: how it is kept.
        value: codebooks in cbr, kbit/s over all channels in abr, the quality in vbr.
        num_codebooks: the most that a frame can come to send; the header tells it.
        max_bitrate: kbit/s over all channels that no block exceeds, or None.
    """

    mode: Mode
    value: float
    num_codebooks: int
    max_bitrate: float | None


def make_target(
    model: CodecModel,
    channels: int,
    mode: Mode = "cbr",
    bitrate: float | None = None,
    num_codebooks: int | None = None,
    quality: float | None = None,
    max_bitrate: float | None = None,
) -> Target:
    """Check the rate options of `codec.streaming.StreamEncoder`, and put in what is left out.

    Raises:
        UsageError: a value is out of range, or two do not go together.
    """
    if mode not in get_args(Mode):
        raise UsageError(f"the rate mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    if mode != "vbr" and quality is not None:
        raise UsageError("a quality goes with the mode vbr: give a bitrate")
    if mode == "vbr" and bitrate is not None:
        raise UsageError("the mode vbr takes a quality: give no bitrate, or the mode abr with it")
    if mode != "cbr" and num_codebooks is not None:
        raise UsageError("a number of codebooks goes with the mode cbr")
    if max_bitrate is not None:
        check_bitrate(model, max_bitrate, channels)
        if bitrate is not None and bitrate > max_bitrate:
            raise UsageError(f"the bitrate {bitrate:g} lies above the highest, {max_bitrate:g}")
    if mode == "vbr":
        value = check_quality(DEFAULT_QUALITY if quality is None else quality)
        return Target(mode, value, model.bottleneck.num_codebooks, max_bitrate)
    if mode == "abr":
        value = _default_bitrate(model, channels, max_bitrate) if bitrate is None else bitrate
        check_bitrate(model, value, channels)
        return Target(mode, value, model.bottleneck.num_codebooks, max_bitrate)
    return _constant(model, channels, bitrate, num_codebooks, max_bitrate)


def _constant(
    model: CodecModel,
    channels: int,
    bitrate: float | None,
    num_codebooks: int | None,
    max_bitrate: float | None,
) -> Target:
    if num_codebooks is None:
        value = _default_bitrate(model, channels, max_bitrate) if bitrate is None else bitrate
        num_codebooks = codebooks_for_bitrate(model, value, channels)
    elif bitrate is not None:
        raise UsageError("give a bitrate or a number of codebooks, not both")
    most = model.bottleneck.num_codebooks
    if max_bitrate is not None:
        most = codebooks_for_bitrate(model, max_bitrate, channels)
    if not 1 <= num_codebooks <= most:
        raise UsageError(f"the number of codebooks must lie in 1..{most}, not {num_codebooks}")
    return Target("cbr", num_codebooks, num_codebooks if max_bitrate is None else most, max_bitrate)


def _default_bitrate(model: CodecModel, channels: int, max_bitrate: float | None) -> float:
    highest = codebook_bitrate(model) * model.bottleneck.num_codebooks / 1000.0
    default = min(DEFAULT_BITRATE, highest) * channels
    return default if max_bitrate is None else min(default, max_bitrate)
