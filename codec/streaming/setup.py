"""What a stream says of itself: the header that an encoder writes, and whether a model can decode it."""

from __future__ import annotations

from typing import Literal

from codec.bitstream.header import RATE_MODES, StreamHeader, max_block_frames
from codec.bitstream.payload import PayloadCoder
from codec.checkpoint import model_id
from codec.errors import CodecError, UsageError
from codec.model import CodecModel
from codec.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

Framing = Literal["container", "packets"]

_PACKET_MS = (20, 10_000)


def describe(
    model: CodecModel,
    sample_rate: int,
    channels: int,
    num_codebooks: int,
    block_frames: int,
    mode: str = "cbr",
) -> StreamHeader:
    """The header of a stream of ``model``; ``sample_rate`` in Hz is that of the user's audio."""
    return StreamHeader(
        model_name=model.config.name,
        model_id=model_id(model),
        sample_rate=sample_rate,
        channels=channels,
        coded_rate=model.config.sample_rate,
        hop=model.config.hop,
        num_codebooks=num_codebooks,
        bits_per_code=model.bottleneck.bits_per_code,
        block_frames=block_frames,
        flags=RATE_MODES.index(mode),
    )


def frames_of_block(model: CodecModel, channels: int, num_codebooks: int, packet_ms: float) -> int:
    """Frames of a block of so many ms, or fewer where its payload could become too large.

    Raises:
        UsageError: the length is out of range.
    """
    if not _PACKET_MS[0] <= packet_ms <= _PACKET_MS[1]:
        raise UsageError(f"a block must last {_PACKET_MS[0]} to {_PACKET_MS[1]} ms, not {packet_ms:g}")
    longest = max_block_frames(channels, num_codebooks, model.bottleneck.bits_per_code)
    return min(max(1, round(packet_ms / 1000 * model.frame_rate)), longest)


def payload_coder(header: StreamHeader, model: CodecModel) -> PayloadCoder:
    """What packs and unpacks the payloads of a stream of ``model``."""
    return PayloadCoder(
        header.num_codebooks, header.bits_per_code, header.block_frames, header.channels, model.entropy
    )


def check_model(header: StreamHeader, model: CodecModel, name: str) -> None:
    """Refuse a stream that ``model`` cannot decode.

    Raises:
        CodecError: the stream names another model, or its header does not fit this one.
    """
    if header.model_id != model_id(model):
        raise CodecError(
            f"{name} was made with the model {header.model_name} {header.model_id.hex()}, and this is "
            f"{model.config.name} {model_id(model).hex()}: give the right checkpoint with --model"
        )
    config, bottleneck = model.config, model.bottleneck
    fits = (header.coded_rate, header.hop, header.bits_per_code) == (
        config.sample_rate,
        config.hop,
        bottleneck.bits_per_code,
    )
    if not MIN_SAMPLE_RATE <= header.sample_rate <= MAX_SAMPLE_RATE:
        raise CodecError(
            f"{name} claims {header.sample_rate} Hz, and the codec plays {MIN_SAMPLE_RATE} to "
            f"{MAX_SAMPLE_RATE} Hz: encode the audio again"
        )
    if not fits or header.num_codebooks > bottleneck.num_codebooks:
        raise CodecError(
            f"the header of {name} contradicts its model {header.model_name}: encode the audio again"
        )
