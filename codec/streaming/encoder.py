"""Audio to bytes, piece by piece. Files go through here too."""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from codec.bitstream.codes_hash import CodesHash
from codec.bitstream.container import ContainerWriter
from codec.bitstream.header import max_block_frames
from codec.bitstream.packets import PacketWriter
from codec.engine import Engine
from codec.errors import UsageError
from codec.model import CodecModel
from codec.pcm import Samples, as_frames
from codec.rate import ConstantRate, codebook_bitrate, codebooks_for_bitrate
from codec.resample import Resampler
from codec.streaming.setup import Framing, describe, payload_coder

Pcm = Samples

DEFAULT_BITRATE = 6.0
_PACKET_MS = (20, 10_000)


class StreamEncoder:
    """Encodes one stream of audio; holds all its state, so that one model serves many streams.

    Args:
        model: the codec.
        sample_rate: of the audio that is pushed, Hz.
        channels: of that audio, each coded by itself.
        bitrate: kbit/s over all channels; 6 a channel, or all codebooks where they take less, where neither
            it nor ``num_codebooks`` is given.
        packet_ms: length of a block, 20 to 10,000 ms; shorter where its payload could exceed 65,535 bytes.
        framing: "container" for files and pipes; "packets" for networks that lose some: every element that
            ``push`` returns is a packet of its own, and the header comes again each second.
        num_codebooks: codebooks of every frame, instead of a bitrate.

    Raises:
        UsageError: a value is out of range.
    """

    def __init__(
        self,
        model: CodecModel,
        sample_rate: int,
        channels: int = 1,
        bitrate: float | None = None,
        packet_ms: float = 2000,
        framing: Framing = "container",
        num_codebooks: int | None = None,
    ) -> None:
        self._engine = Engine(model)
        self._engine.check_rows()
        self._rate = ConstantRate(_choose_codebooks(model, channels, bitrate, num_codebooks))
        if not _PACKET_MS[0] <= packet_ms <= _PACKET_MS[1]:
            raise UsageError(f"a block must last {_PACKET_MS[0]} to {_PACKET_MS[1]} ms, not {packet_ms:g}")
        if framing not in get_args(Framing):
            raise UsageError(f"framing must be one of {', '.join(get_args(Framing))}, not {framing!r}")
        self._resampler = Resampler(sample_rate, model.config.sample_rate, channels)
        num_codebooks, bits = self._rate.num_codebooks, model.bottleneck.bits_per_code
        longest = max_block_frames(channels, num_codebooks, bits)
        block_frames = min(max(1, round(packet_ms / 1000 * model.frame_rate)), longest)
        self.header = describe(model, sample_rate, channels, num_codebooks, block_frames)
        self._writer = (ContainerWriter if framing == "container" else PacketWriter)(self.header)
        self._coder = payload_coder(self.header)
        self._hash = CodesHash()
        self._position = 0
        self._states = [self._engine.start_encoder() for _ in range(channels)]
        self._pending = np.zeros((0, channels), np.float32)
        self._codes = torch.zeros(channels, self._rate.num_codebooks, 0, dtype=torch.int64)
        self._started = False
        self._samples_in = 0
        self._samples_coded = 0

    @property
    def model(self) -> CodecModel:
        """The codec."""
        return self._engine.model

    @property
    def latency_ms(self) -> float:
        """From a sound to its bytes, without packing: the gathered hop and the resampler's look-ahead."""
        return 1000 * (self.header.hop / self.header.coded_rate + self._resampler.delay)

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes returned so far."""
        return self._writer.payload_bytes

    @property
    def container_bytes(self) -> int:
        """All other bytes returned so far."""
        return self._writer.container_bytes

    def push(self, pcm: Pcm) -> list[bytes]:
        """Take audio ``[n, C]``, or ``[n]`` for one channel, and return what it completes.

        The header comes first, then blocks.

        Raises:
            CodecError: the audio holds NaN, infinite or absurd samples.
            UsageError: it is not float32 of that shape.
        """
        pcm = as_frames(pcm, self.header.channels)
        self._samples_in += len(pcm)
        output = self._begin()
        self._encode(self._resampler.push(pcm))
        return output + self._complete_blocks()

    def flush(self) -> list[bytes]:
        """End the stream: the blocks that are left, and the footer."""
        output = self._begin()
        self._encode(self._resampler.flush())
        frames = self.model.num_frames(self._samples_coded + len(self._pending))
        coded = self._samples_coded // self.model.config.hop
        padding = (frames - coded) * self.model.config.hop - len(self._pending)
        self._encode(np.zeros((padding, self.header.channels), np.float32))
        output += self._complete_blocks()
        if self._codes.shape[2]:
            output += self._block(self._codes.numpy())
        return output + self._writer.finish(self._samples_in, self._hash.digest())

    def _begin(self) -> list[bytes]:
        if self._started:
            return []
        self._started = True
        return self._writer.start()

    def _encode(self, audio: Pcm) -> None:
        """Code all whole hops of pending and new audio ``[n, C]`` at the model's rate."""
        hop = self.model.config.hop
        pending = np.concatenate([self._pending, audio])
        whole = len(pending) // hop * hop
        self._pending = pending[whole:].copy()
        if not whole:
            return
        self._samples_coded += whole
        bits = 8 * self._writer.payload_bytes
        coded = []
        for channel in range(self.header.channels):
            samples = torch.from_numpy(np.ascontiguousarray(pending[:whole, channel]))
            z, self._states[channel] = self._engine.latents(samples, self._states[channel])
            n = self._rate.choose(z, samples.view(-1, hop).square().mean(dim=1), bits)
            coded.append(self._engine.search(z, n).cpu())
        self._codes = torch.cat([self._codes, torch.stack(coded)[:, : self._rate.num_codebooks]], dim=2)

    def _complete_blocks(self) -> list[bytes]:
        size = self.header.block_frames
        output: list[bytes] = []
        whole = self._codes.shape[2] // size * size
        for start in range(0, whole, size):
            output += self._block(self._codes[:, :, start : start + size].numpy())
        self._codes = self._codes[:, :, whole:].clone()
        return output

    def _block(self, codes: NDArray[np.int64]) -> list[bytes]:
        self._hash.update(codes)
        position, frames = self._position, codes.shape[2]
        self._position += frames
        return self._writer.block(position, self._coder.pack(codes), frames)


def _choose_codebooks(
    model: CodecModel, channels: int, bitrate: float | None, num_codebooks: int | None
) -> int:
    if num_codebooks is None:
        highest = codebook_bitrate(model) * model.bottleneck.num_codebooks / 1000.0
        default = min(DEFAULT_BITRATE, highest) * channels
        return codebooks_for_bitrate(model, default if bitrate is None else bitrate, channels)
    if bitrate is not None:
        raise UsageError("give a bitrate or a number of codebooks, not both")
    if not 1 <= num_codebooks <= model.bottleneck.num_codebooks:
        raise UsageError(
            f"the number of codebooks must lie in 1..{model.bottleneck.num_codebooks}, not {num_codebooks}"
        )
    return num_codebooks
