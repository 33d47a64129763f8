"""From a stream's target to what decides and codes its blocks."""

from __future__ import annotations

from codec.bitstream.header import StreamHeader
from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.rate import bits_per_frame
from codec.rate.average import AverageRate, Budget
from codec.rate.planned import PlannedRate
from codec.rate.variable import VariableRate
from codec.streaming.appraisal import Appraiser, make_trellis
from codec.streaming.blocks import BlockMaker, ConstantBlocks, WindowBlocks, WindowCoder
from codec.streaming.overhead import Overhead
from codec.streaming.setup import Framing, payload_coder
from codec.streaming.target import Target

# The first byte of a payload, which is no code either.
_MODE_BITS = 8
# A file should have its bitrate also where it ends in silence: so many blocks make up for it. Of two, one may
# be what the codec's delay leaves at the end. Packets are sent at once.
_KEPT_BACK = 2


def make_blocks(
    engine: Engine, header: StreamHeader, framing: Framing, target: Target, overhead: Overhead
) -> BlockMaker:
    """What codes the blocks of a stream in one pass.

    Raises:
        UsageError: the target is below what blocks of that length take.
    """
    payloads = payload_coder(header, engine.model)
    if target.mode == "cbr":
        return ConstantBlocks(engine, payloads, int(target.value))
    control = _control(engine.model, header, target, overhead)
    appraiser = make_appraiser(engine, header, framing)
    kept_back = _KEPT_BACK if target.mode == "abr" and framing == "container" else 0
    coder = WindowCoder(engine, payloads, control, overhead.block)
    return WindowBlocks(appraiser, coder, control, header.block_frames, kept_back)


def make_planned(
    engine: Engine, header: StreamHeader, target: Target, overhead: Overhead
) -> tuple[PlannedRate, WindowCoder]:
    """What codes the blocks of a container in two passes; raises as `make_blocks`."""
    # Refuses a target that is too low before any sound is taken.
    frame_bits(engine.model, header, target.value, overhead)
    window, most = _window_bits(overhead), _most_frame_bits(engine.model, header, target, overhead)
    control = PlannedRate(make_trellis(engine.model), window, most)
    return control, WindowCoder(engine, payload_coder(header, engine.model), control, overhead.block)


def make_appraiser(engine: Engine, header: StreamHeader, framing: Framing) -> Appraiser:
    """What tells how the frames of a stream may be decided.

    The sources of comfort noise come anew with each block, or with each second of packets.
    """
    second = max(round(header.coded_rate / header.hop), 1)
    return Appraiser(engine, header.block_frames, header.block_frames if framing == "container" else second)


def frame_bits(model: CodecModel, header: StreamHeader, bitrate: float, overhead: Overhead) -> float:
    """Bits that a bitrate in kbit/s leaves for a frame, its share of a block's overhead included.

    Raises:
        UsageError: one codebook a frame, uncoded, does not fit.
    """
    available = bits_per_frame(model, bitrate) - overhead.frame
    needed = (overhead.block + _MODE_BITS) / header.block_frames + header.channels * header.bits_per_code
    if available < needed:
        least = (needed + overhead.frame) * model.frame_rate / 1000.0
        raise UsageError(
            f"blocks of this length can take {least:.3g} kbit/s, more than {bitrate:g}: raise the bitrate, "
            "or make the blocks longer"
        )
    return available


def _control(
    model: CodecModel, header: StreamHeader, target: Target, overhead: Overhead
) -> AverageRate | VariableRate:
    trellis, window = make_trellis(model), _window_bits(overhead)
    most = _most_frame_bits(model, header, target, overhead)
    if target.mode == "vbr":
        return VariableRate(trellis, window, most, target.value)
    available = frame_bits(model, header, target.value, overhead)
    budget = Budget(
        available, overhead.fixed, model.delay / model.config.hop, model.frame_rate, header.bits_per_code
    )
    return AverageRate(trellis, window, most, budget)


def _window_bits(overhead: Overhead) -> int:
    """What a window takes beside its codes."""
    return overhead.block + _MODE_BITS


def _most_frame_bits(
    model: CodecModel, header: StreamHeader, target: Target, overhead: Overhead
) -> float | None:
    return None if target.max_bitrate is None else frame_bits(model, header, target.max_bitrate, overhead)
