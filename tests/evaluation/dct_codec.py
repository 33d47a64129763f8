"""A small real codec with the two calls of `codec.Codec`, to test tables and pages without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

from codec.bitstream.container import ContainerReader, ContainerWriter
from codec.bitstream.events import BlockRead, StreamEnd
from codec.bitstream.header import StreamHeader
from codec.bitstream.payload import PayloadCoder

HOP = 320
BLOCK_FRAMES = 100
KBPS_PER_CODEBOOK = 0.5


class DctCodec:
    """Keeps the first coefficients of each frame's DCT, 10 bits each: more codebooks, more spectrum."""

    def encode(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        bitrate: float | None = None,
        num_codebooks: int | None = None,
    ) -> bytes:
        n = num_codebooks or round((bitrate or 6.0) / KBPS_PER_CODEBOOK)
        channels = audio.reshape(len(audio), -1).T
        frames = -(-len(audio) // HOP)
        padded = np.pad(channels, ((0, 0), (0, frames * HOP - len(audio)))).reshape(
            len(channels), frames, HOP
        )
        spectrum = dct(padded, norm="ortho")[:, :, : 2 * n : 2].transpose(0, 2, 1)
        codes = np.clip(np.round(np.cbrt(spectrum) * 160), -512, 511).astype(np.int64) + 512
        writer = ContainerWriter(
            StreamHeader("dct", bytes(8), sample_rate, len(channels), sample_rate, HOP, n, 10, BLOCK_FRAMES)
        )
        coder, parts = PayloadCoder(n, 10, BLOCK_FRAMES, len(channels)), writer.start()
        for at in range(0, frames, BLOCK_FRAMES):
            block = codes[:, :, at : at + BLOCK_FRAMES]
            parts += writer.block(at, coder.pack(block), block.shape[2])
        return b"".join(parts + writer.finish(len(audio), bytes(8)))

    def decode(self, data: bytes) -> tuple[NDArray[np.float32], int]:
        reader = ContainerReader()
        events = [*reader.push(data), *reader.finish()]
        header = reader.header
        assert header is not None
        coder = PayloadCoder(header.num_codebooks, header.bits_per_code, header.block_frames, header.channels)
        blocks = [coder.unpack(event.payload) for event in events if isinstance(event, BlockRead)]
        codes = np.concatenate(blocks, axis=2)
        (length,) = (event.num_samples for event in events if isinstance(event, StreamEnd))
        spectrum = np.zeros((codes.shape[0], codes.shape[2], HOP))
        spectrum[:, :, : 2 * codes.shape[1] : 2] = (((codes - 512) / 160) ** 3).transpose(0, 2, 1)
        audio = idct(spectrum, norm="ortho").reshape(len(spectrum), -1)[:, :length].T.astype(np.float32)
        return (audio[:, 0] if audio.shape[1] == 1 else audio), header.sample_rate
