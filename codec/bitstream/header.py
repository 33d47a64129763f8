"""The header of a stream: what a decoder must know before the first block."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from zlib import crc32

from codec.bitstream.codes import MAX_BITS_PER_CODE
from codec.errors import CodecError, UsageError

MAGIC = b"\x8eNAC"
FORMAT_VERSION = 1
MAX_NAME_BYTES = 32
MAX_CHANNELS = 32
MAX_SAMPLE_RATE = 768_000
MAX_PAYLOAD_BYTES = (1 << 16) - 1
MAX_HEADER_BYTES = 4096
RATE_MODES = ("cbr", "abr", "vbr")
"""How the encoder chose the number of codebooks of each frame; tells people, and no reader needs it."""

# Flags of which a reader that does not know them may not go on.
_MUST_UNDERSTAND = 0xF0
_RATE_MODE_MASK = 0x03
# What a payload takes beside its bits: its first byte, and the number of frames in a short one.
_PAYLOAD_FIXED_BYTES = 3

_U16_MAX = (1 << 16) - 1
_PREFIX = struct.Struct(">4sBH")
_NAME_START = _PREFIX.size + 2
_FIELDS = struct.Struct(">8sIBIHHBH")
_CRC = struct.Struct(">I")
_MIN_BYTES = _NAME_START + _FIELDS.size + _CRC.size


class DamagedHeaderError(CodecError):
    """What stands at the start of the stream is no whole header; a copy of it may be."""


@dataclass(frozen=True)
class StreamHeader:
    """What the header says; raises UsageError where a field is out of range.

    Attributes:
        model_name: 1 to 32 bytes of UTF-8, printable and not a path.
        model_id: 8 bytes.
        sample_rate: of the user's audio, Hz, up to 768,000.
        channels: 1 to 32.
        coded_rate: sample rate at which the model works, Hz, up to 768,000.
        hop: samples at `coded_rate` that a frame stands for, 1 to 65535.
        num_codebooks: M, 1 to 65535.
        bits_per_code: 1 to 16.
        block_frames: frames of every block but the last, 1 to `max_block_frames`.
        flags: one byte, whose bits 0 and 1 are the index of `mode`; of bits 4 to 7 none may be set.
        extension: what a later minor format put behind the known fields; kept, and not understood.
    """

    model_name: str
    model_id: bytes
    sample_rate: int
    channels: int
    coded_rate: int
    hop: int
    num_codebooks: int
    bits_per_code: int
    block_frames: int
    flags: int = 0
    extension: bytes = b""

    def __post_init__(self) -> None:
        _check_name(self.model_name)
        if len(self.model_id) != 8:
            raise UsageError(f"the model id must be 8 bytes, not {len(self.model_id)}")
        ranges = {
            "sample_rate": MAX_SAMPLE_RATE,
            "channels": MAX_CHANNELS,
            "coded_rate": MAX_SAMPLE_RATE,
            "hop": _U16_MAX,
            "num_codebooks": _U16_MAX,
            "bits_per_code": MAX_BITS_PER_CODE,
            "block_frames": _U16_MAX,
        }
        for field, limit in ranges.items():
            value = getattr(self, field)
            if not 1 <= value <= limit:
                raise UsageError(f"{field} must lie in 1..{limit}, not {value}")
        longest = max_block_frames(self.channels, self.num_codebooks, self.bits_per_code)
        if self.block_frames > longest:
            raise UsageError(
                f"a block of {self.channels} channels with {self.num_codebooks} codebooks of "
                f"{self.bits_per_code} bits holds at most {longest} frames, not {self.block_frames}"
            )
        if not 0 <= self.flags <= 0xFF or self.flags & _MUST_UNDERSTAND:
            raise UsageError(f"flags must lie in 0..{0xFF & ~_MUST_UNDERSTAND}, not {self.flags}")
        if len(self.to_bytes()) > MAX_HEADER_BYTES:
            raise UsageError(f"a header must take at most {MAX_HEADER_BYTES} bytes")

    @property
    def mode(self) -> str:
        """One of RATE_MODES, or "unknown"."""
        index = self.flags & _RATE_MODE_MASK
        return RATE_MODES[index] if index < len(RATE_MODES) else "unknown"

    @property
    def max_payload_bytes(self) -> int:
        """Bytes that a block's payload never exceeds, however it is coded."""
        frame_bits = _frame_bits(self.channels, self.num_codebooks, self.bits_per_code)
        return _PAYLOAD_FIXED_BYTES + (self.block_frames * frame_bits + 7) // 8

    def to_bytes(self) -> bytes:
        """Returns the header's bytes, its CRC at their end."""
        name = self.model_name.encode()
        fields = _FIELDS.pack(
            self.model_id,
            self.sample_rate,
            self.channels,
            self.coded_rate,
            self.hop,
            self.num_codebooks,
            self.bits_per_code,
            self.block_frames,
        )
        prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, _MIN_BYTES + len(name) + len(self.extension))
        body = prefix + bytes([self.flags, len(name)]) + name + fields + self.extension
        return body + _CRC.pack(crc32(body))

    @property
    def crc(self) -> int:
        """The header's CRC-32, which every later checksum of the stream starts from."""
        return crc32(self.to_bytes()[: -_CRC.size])


def max_block_frames(channels: int, num_codebooks: int, bits_per_code: int) -> int:
    """Frames of the longest block whose payload fits into 65,535 bytes, even where nothing is saved.

    Returns 0 where not even one frame fits, and 65535 at most.
    """
    frame_bits = _frame_bits(channels, num_codebooks, bits_per_code)
    return min(8 * (MAX_PAYLOAD_BYTES - _PAYLOAD_FIXED_BYTES) // frame_bits, _U16_MAX)


def _frame_bits(channels: int, num_codebooks: int, bits_per_code: int) -> int:
    """Bits of a frame that sends all its codebooks, and in each channel how many they are."""
    return channels * (num_codebooks.bit_length() + num_codebooks * bits_per_code)


def parse_header(data: bytes | bytearray, name: str) -> tuple[StreamHeader, int] | None:
    """Reads the header at the start of `data`.

    Args:
        data: the first bytes of a stream, as many as have arrived.
        name: what messages call the stream.

    Returns:
        the header and its size in bytes, or None while bytes are missing.

    Raises:
        DamagedHeaderError: this is no stream of the codec, or its header is damaged.
        CodecError: it is a whole header of a version, or with a flag, that this program does not know, or
            one that states impossible values.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise DamagedHeaderError(f"{name} is not a codec bitstream: give a file that 'codec encode' wrote")
    if len(data) < _PREFIX.size:
        return None
    _, version, size = _PREFIX.unpack_from(data)
    if not _PREFIX.size + _CRC.size <= size <= MAX_HEADER_BYTES:
        raise _damaged(name)
    if len(data) < size:
        return None
    body = bytes(data[: size - _CRC.size])
    if _CRC.unpack_from(data, len(body)) != (crc32(body),):
        raise _damaged(name)
    if version < FORMAT_VERSION:
        raise CodecError(f"{name} has format version {version}, which was a draft: encode the audio again")
    if version > FORMAT_VERSION:
        raise CodecError(
            f"{name} has format version {version} and this program reads {FORMAT_VERSION}: update codec"
        )
    return _parse_fields(body, name), size


def _parse_fields(body: bytes, name: str) -> StreamHeader:
    flags, name_bytes = body[_PREFIX.size : _NAME_START].ljust(2, b"\0")
    if flags & _MUST_UNDERSTAND:
        raise CodecError(f"{name} uses a part of the format that this program does not know: update codec")
    fields = _NAME_START + name_bytes
    if len(body) < fields + _FIELDS.size:
        raise _damaged(name)
    try:
        model_name = body[_NAME_START:fields].decode()
        header = StreamHeader(model_name, *_FIELDS.unpack_from(body, fields))
        return replace(header, flags=flags, extension=body[fields + _FIELDS.size :])
    except (UnicodeDecodeError, UsageError) as error:
        raise CodecError(f"{name} has an impossible header ({error}): encode the audio again") from error


def _damaged(name: str) -> CodecError:
    return DamagedHeaderError(f"{name} has a damaged header: get a fresh copy or encode the audio again")


def _check_name(model_name: str) -> None:
    """The name of a model is printed and looked up in folders, so that it must not steer either."""
    try:
        num_bytes = len(model_name.encode())
    except UnicodeEncodeError:
        raise UsageError("the model name is not valid text") from None
    if not 1 <= num_bytes <= MAX_NAME_BYTES:
        raise UsageError(f"the model name must take 1 to {MAX_NAME_BYTES} bytes, not {num_bytes}")
    if not model_name.isprintable() or set("/\\:") & set(model_name) or model_name in (".", ".."):
        raise UsageError(f"the model name must be printable and not a path, not {model_name!r}")
