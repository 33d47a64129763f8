"""From sound to bytes and back: header, codes of the envelope, then for each frame its step and its lines."""

from __future__ import annotations

import struct

import numpy as np
import torch
from numpy.typing import NDArray

from codec.bitstream.rangecoder import TOTAL, RangeDecoder, range_encode
from codec.errors import CodecError, UsageError
from recipes.speech_envelope.lines import Frames, Values, dequantize, prepare, steps_of
from recipes.speech_envelope.model import POWER_FLOOR, EnvelopeModel
from recipes.speech_envelope.perceptual import HOP, audio_of, frame_count, lines_of
from recipes.speech_envelope.rate import CORRECTION_SIZES, CORRECTION_STARTS, CodedFrame, allot
from recipes.speech_envelope.tables import NUM_STEPS, Array, Integers, LineTables

Audio = NDArray[np.float32]

SAMPLE_RATE = 16_000
FRAME_RATE = SAMPLE_RATE / HOP
# Number of samples, and bits of a frame.
_HEADER = struct.Struct("<IH")
# Bits that the lines of a frame have at least: a step that is not predicted, and lines of zero.
_LEAST_LINE_BITS = 24
_BIT = TOTAL // 2
# No value of a line goes further beyond its table.
_MAX_BEYOND_BITS = 40
_CORRECTIONS: list[int] = CORRECTION_STARTS.tolist()


class EnvelopeCodec:
    """Codes 16 kHz speech with a trained model. The decoder needs the model and the bytes alone.

    Both sides compute the envelopes of all frames of a file at once, in float64: files decode on the kind of
    machine that made them.

    Args:
        model: its codebooks have a power of two words.
    """

    def __init__(self, model: EnvelopeModel) -> None:
        self._model = model.eval().requires_grad_(False)
        shares, scales = (each.double().numpy() for each in model.mixture.shares_and_scales())
        self._tables = LineTables(shares / shares.sum(), scales)
        self._table_starts: list[int] = self._tables.starts.tolist()
        self._synthesis = model.log_synthesis.double().exp()
        quantizer = model.quantizer
        self.envelope_bits = quantizer.num_codebooks * (quantizer.codebook_size.bit_length() - 1)

    def encode(self, audio: Audio, sample_rate: int, bitrate: float) -> bytes:
        """Code audio ``[T]`` float32 at ``bitrate`` bits a second.

        Raises:
            CodecError: the sample rate is not 16 kHz, the sound is not one finite channel, or longer than a
                header can tell.
            UsageError: the bitrate is too low for the envelope, or higher than a header can tell.
        """
        self._check(audio, sample_rate)
        frame_bits = round(bitrate / FRAME_RATE)
        budget = self._line_bits(frame_bits)
        lines = lines_of(audio)
        codes = self._model.quantizer.encode(self._model.levels(lines))
        frames = prepare(self._power(codes), budget, self._tables)
        coded = allot(lines.double().numpy(), frames, budget, self._tables)
        header = _HEADER.pack(len(audio), frame_bits)
        return header + self._write(codes.numpy(), frames, list(coded))

    def decode(self, data: bytes) -> Audio:
        """The audio ``[T]`` float32 of bytes.

        Raises:
            CodecError: no encoder with this model wrote them.
        """
        if len(data) < _HEADER.size:
            raise CodecError("the bytes end within the header: get a whole file")
        length, frame_bits = _HEADER.unpack_from(data)
        try:
            budget = self._line_bits(frame_bits)
        except UsageError as error:
            raise CodecError("the header is damaged, or another model's: get a fresh copy") from error
        decoder = RangeDecoder(data[_HEADER.size :])
        codes = self._read_codes(decoder, frame_count(length))
        frames = prepare(self._power(codes), budget, self._tables)
        lines = np.stack([self._read_lines(decoder, frames, index) for index in range(len(codes))])
        decoder.finish()
        return audio_of(torch.from_numpy(lines).float(), length)

    def _check(self, audio: Audio, sample_rate: int) -> None:
        if sample_rate != SAMPLE_RATE:
            raise CodecError(
                f"the envelope codec takes sound at {SAMPLE_RATE:,} Hz, not {sample_rate:,} Hz: resample it"
            )
        if audio.ndim != 1 or len(audio) >= 1 << 32:
            raise CodecError(
                f"the envelope codec takes one channel [T], not {list(audio.shape)}: mix it down"
            )
        if not np.isfinite(audio).all():
            raise CodecError("the sound holds NaN or infinite samples: repair it")

    def _line_bits(self, frame_bits: int) -> int:
        """What is left of a frame's bits for its lines."""
        left = frame_bits - self.envelope_bits
        if left < _LEAST_LINE_BITS or frame_bits >= 1 << 16:
            least, most = self.envelope_bits + _LEAST_LINE_BITS, (1 << 16) - 1
            raise UsageError(
                f"the bitrate gives {frame_bits} bits to a frame, of which the envelope takes"
                f" {self.envelope_bits}: choose {least * FRAME_RATE:,.0f} to {most * FRAME_RATE:,.0f} bit/s"
            )
        return left

    def _power(self, codes: torch.Tensor) -> Array:
        levels = self._model.quantizer.decode(codes).double()
        return (levels.exp() @ self._synthesis).numpy() + POWER_FLOOR

    def _write(self, codes: Integers, frames: Frames, coded: list[CodedFrame]) -> bytes:
        size = TOTAL // self._model.quantizer.codebook_size
        starts: list[int] = (codes * size).ravel().tolist()
        sizes = [size] * len(starts)
        for correction, values in coded:
            starts.append(int(CORRECTION_STARTS[correction]))
            sizes.append(int(CORRECTION_SIZES[correction]))
            starts += self._tables.starts[values.places].tolist()
            sizes += self._tables.sizes[values.places].tolist()
            for beyond in values.beyond[values.escaped].tolist():
                bits = _golomb(beyond)
                starts += [_BIT * bit for bit in bits]
                sizes += [_BIT] * len(bits)
        return range_encode(starts, sizes)

    def _read_codes(self, decoder: RangeDecoder, count: int) -> torch.Tensor:
        """The envelope's codes ``[count, M]``."""
        size = TOTAL // self._model.quantizer.codebook_size
        codes = []
        for _ in range(count * self._model.quantizer.num_codebooks):
            code = decoder.target() // size
            decoder.take(code * size, size)
            codes.append(code)
        return torch.tensor(codes).view(count, -1)

    def _read_lines(self, decoder: RangeDecoder, frames: Frames, index: int) -> Array:
        """The lines ``[320]`` of one frame."""
        correction = decoder.decode(_CORRECTIONS, 0, len(_CORRECTIONS)) - NUM_STEPS + 1
        step = int(frames.predicted[index]) + correction
        if not 0 <= step < NUM_STEPS:
            raise CodecError("the entropy coded bytes are damaged")
        steps, dithers = steps_of(frames.base[index], step), frames.dithers[index]
        origins, limits = self._tables.origins[steps, dithers], self._tables.limits[steps]
        starts, decode = self._table_starts, decoder.decode
        first, last = (origins - limits).tolist(), (origins + limits + 1).tolist()
        places = np.array([decode(starts, *ends) for ends in zip(first, last, strict=True)])
        escaped = np.abs(places - origins) == limits
        beyond = np.zeros_like(places)
        beyond[escaped] = [_read_golomb(decoder) for _ in range(int(escaped.sum()))]
        values = Values(places, beyond, escaped)
        return dequantize(values, steps, dithers, self._tables) * frames.deviations[index]


def _golomb(number: int) -> list[int]:
    """The bits of a number from 0 on as Exp-Golomb code: as many ones as follow bits after the first."""
    bits = [int(bit) for bit in f"{number + 1:b}"[1:]]
    return [1] * len(bits) + [0] + bits


def _read_golomb(decoder: RangeDecoder) -> int:
    count = 0
    while _read_bit(decoder):
        count += 1
        if count > _MAX_BEYOND_BITS:
            raise CodecError("the entropy coded bytes are damaged")
    number = 1
    for _ in range(count):
        number = 2 * number + _read_bit(decoder)
    return number - 1


def _read_bit(decoder: RangeDecoder) -> int:
    bit = decoder.target() // _BIT
    decoder.take(bit * _BIT, _BIT)
    return bit
