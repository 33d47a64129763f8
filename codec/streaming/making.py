"""From a stream's target to what decides and codes its blocks."""

from __future__ import annotations

from codec.bitstream.header import StreamHeader
from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.rate import bits_per_frame
from codec.rate.average import AverageRate, Budget
from codec.rate.control import WindowControl
from codec.rate.planned import PlannedRate, RatePlan
from codec.rate.variable import VariableRate
from codec.streaming.appraisal import Appraiser, make_trellis
from codec.streaming.blocks import BlockMaker, ConstantBlocks, WindowBlocks
from codec.streaming.overhead import Overhead
from codec.streaming.setup import Framing, payload_coder
from codec.streaming.target import Target

# The first byte of a payload, which is no code either.
_MODE_BITS = 8
# A file should have its bitrate also where it ends in silence: so many blocks make up for it. Of two, one may
# be what the codec's delay leaves at the end. Packets are sent at once.
_KEPT_BACK = 2


def make_blocks(
    engine: Engine,
    header: StreamHeader,
    framing: Framing,
    target: Target,
    overhead: Overhead,
    plan: RatePlan | None,
) -> BlockMaker:
    """What codes the blocks of a stream.

    Raises:
        UsageError: the target is below what blocks of that length take.
    """
    coder = payload_coder(header, engine.model)
    if target.mode == "cbr":
        return ConstantBlocks(engine, coder, int(target.value))
    control = _control(engine.model, header, target, overhead, plan)
    appraiser = Appraiser(engine, restart_frames(header, framing))
    average = target.mode == "abr" and plan is None and framing == "container"
    kept_back = _KEPT_BACK if average else 0
    return WindowBlocks(engine, coder, appraiser, control, overhead.block, kept_back)


def restart_frames(header: StreamHeader, framing: Framing) -> int:
    """Every so many frames the sources of comfort noise come anew: each block, or each second of packets."""
    return header.block_frames if framing == "container" else max(round(header.coded_rate / header.hop), 1)


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
    model: CodecModel, header: StreamHeader, target: Target, overhead: Overhead, plan: RatePlan | None
) -> WindowControl:
    trellis = make_trellis(model)
    window = overhead.block + _MODE_BITS
    most = None
    if target.max_bitrate is not None:
        most = frame_bits(model, header, target.max_bitrate, overhead)
    if target.mode == "vbr":
        return VariableRate(trellis, window, most, target.value)
    available = frame_bits(model, header, target.value, overhead)
    if plan is not None:
        total = 1000.0 * target.value * plan.samples / header.sample_rate
        return PlannedRate(trellis, window, most, plan, total - overhead.fixed)
    budget = Budget(
        available, overhead.fixed, model.delay / model.config.hop, model.frame_rate, header.bits_per_code
    )
    return AverageRate(trellis, window, most, budget)
