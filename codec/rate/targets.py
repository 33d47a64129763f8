"""What a target bitrate means in codebooks and in bits a frame."""

from __future__ import annotations

from codec.errors import UsageError
from codec.model import CodecModel


def codebook_bitrate(model: CodecModel) -> float:
    """Bits a second that one codebook of one channel costs before entropy coding."""
    return model.frame_rate * model.bottleneck.bits_per_code


def check_bitrate(model: CodecModel, bitrate: float, channels: int) -> None:
    """Refuse a target in kbit/s over all channels that no number of codebooks comes near.

    Raises:
        UsageError: the target lies below one codebook or above all of them.
    """
    unit = codebook_bitrate(model) * channels / 1000.0
    highest = unit * model.bottleneck.num_codebooks
    if not unit <= bitrate * (1 + _SLACK) <= highest * (1 + 2 * _SLACK):
        raise UsageError(
            f"the bitrate must lie between {unit:g} and {highest:g} kbit/s for {channels} channel(s), "
            f"not {bitrate:g}"
        )


def codebooks_for_bitrate(model: CodecModel, bitrate: float, channels: int) -> int:
    """The largest number of codebooks whose raw indices fit a target.

    Args:
        model: the codec.
        bitrate: kbit/s over all channels.
        channels: how many there are.

    Raises:
        UsageError: the target lies below one codebook or above all of them.
    """
    check_bitrate(model, bitrate, channels)
    count = int(bitrate * 1000.0 / (codebook_bitrate(model) * channels) * (1 + _SLACK))
    return min(max(count, 1), model.bottleneck.num_codebooks)


def bits_per_frame(model: CodecModel, bitrate: float) -> float:
    """Bits that a target in kbit/s leaves for one frame of all channels."""
    return bitrate * 1000.0 / model.frame_rate


# A millionth: 1.5 kbit/s is three codebooks also where the quotient comes out as 2.9999999.
_SLACK = 1e-6
