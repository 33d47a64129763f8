"""The header of a stream: what a decoder must know before the first block."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from codec.bitstream.packet import MAX_BITS_PER_CODE
from codec.errors import CodecError, UsageError

MAGIC = b"\x8eNAC"
FORMAT_VERSION = 0
MAX_NAME_BYTES = 32
MAX_CHANNELS = 32
MAX_SAMPLE_RATE = 768_000
# Bounds what a reader holds of one block: 8 MiB of int64 codes, at most 2 MiB of payload.
MAX_BLOCK_CODES = 1 << 20

_U16_MAX = (1 << 16) - 1
_PREFIX = struct.Struct(">4sBH")
_FIELDS = struct.Struct(">8sIBIHHBH")
_CRC = struct.Struct(">I")
_MIN_BYTES = _PREFIX.size + 1 + _FIELDS.size + _CRC.size
_MAX_BYTES = _MIN_BYTES + MAX_NAME_BYTES
# How long a header of a later version may be and still be told from a damaged one.
_MAX_BYTES_ANY_VERSION = 4096


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
        block_frames: frames of every block but the last, 1 to 65535; a block holds at most 2**20 codes.
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
        if self.channels * self.num_codebooks * self.block_frames > MAX_BLOCK_CODES:
            raise UsageError(f"a block must hold at most {MAX_BLOCK_CODES} codes: make block_frames smaller")

    def to_bytes(self) -> bytes:
        """Returns the header as it stands in a stream, its CRC included."""
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
        prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, _MIN_BYTES + len(name))
        body = prefix + bytes([len(name)]) + name + fields
        return body + _CRC.pack(crc32(body))

    @property
    def crc(self) -> int:
        """The header's CRC-32, which every later checksum of the stream starts from."""
        return crc32(self.to_bytes()[: -_CRC.size])


def parse_header(data: bytes | bytearray, name: str) -> tuple[StreamHeader, int] | None:
    """Reads the header at the start of `data`.

    Args:
        data: the first bytes of a stream, as many as have arrived.
        name: what messages call the stream.

    Returns:
        the header and its size in bytes, or None while bytes are missing.

    Raises:
        CodecError: this is no stream of the codec, or of a newer version, or its header is damaged.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise CodecError(f"{name} is not a codec bitstream: give a file that 'codec encode' wrote")
    if len(data) < _PREFIX.size:
        return None
    _, version, size = _PREFIX.unpack_from(data)
    longest = _MAX_BYTES if version == FORMAT_VERSION else _MAX_BYTES_ANY_VERSION
    if not _PREFIX.size + _CRC.size <= size <= longest:
        raise _damaged(name)
    if len(data) < size:
        return None
    body = bytes(data[: size - _CRC.size])
    if _CRC.unpack_from(data, len(body)) != (crc32(body),):
        raise _damaged(name)
    if version != FORMAT_VERSION:
        raise CodecError(
            f"{name} has format version {version} and this program reads {FORMAT_VERSION}: update codec"
        )
    return _parse_fields(body, name), size


def _parse_fields(body: bytes, name: str) -> StreamHeader:
    start = _PREFIX.size + 1
    name_bytes = len(body) - start - _FIELDS.size
    if name_bytes < 0 or body[start - 1] != name_bytes:
        raise _damaged(name)
    try:
        model_name = body[start : start + name_bytes].decode()
        return StreamHeader(model_name, *_FIELDS.unpack_from(body, start + name_bytes))
    except (UnicodeDecodeError, UsageError) as error:
        raise CodecError(f"{name} has an impossible header ({error}): encode the audio again") from error


def _damaged(name: str) -> CodecError:
    return CodecError(f"{name} has a damaged header: get a fresh copy or encode the audio again")


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
