"""WAV headers (RIFF and RF64) for streams: read without seeking, written before the length is known.

Layout: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (1991), with the
extensible format; EBU Tech 3306 (RF64, its 64-bit sizes, and the JUNK chunk that keeps their place).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from codec.errors import CodecError
from codec.pcm import SAMPLE_BYTES, RawFormat

# Sizes are 32 bits wide; beyond that the file becomes RF64.
SIZE_LIMIT = 0xFFFFFFFF
# What comes before the samples is text and pictures at most; more than this is not a WAV worth reading.
HEADER_LIMIT = 16 * 2**20

_UNKNOWN = 0xFFFFFFFF
_TAG_PCM, _TAG_FLOAT, _TAG_EXTENSIBLE = 1, 3, 0xFFFE
_SUBTYPES = {
    (_TAG_PCM, 1): "u8",
    (_TAG_PCM, 2): "s16le",
    (_TAG_PCM, 3): "s24le",
    (_TAG_PCM, 4): "s32le",
    (_TAG_FLOAT, 4): "f32le",
    (_TAG_FLOAT, 8): "f64le",
}
# The fixed end of the sub-format GUIDs whose first two bytes are the plain format tag.
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True)
class WavHeader:
    """What stands before the samples.

    Attributes:
        sample_rate: Hz, as the file says.
        channels: as the file says.
        subtype: the sample format (see `RawFormat`), None for an encoding that is not plain PCM.
        data_bytes: the length of the samples, None where the writer did not know it.
        consumed: every byte of the header.
    """

    sample_rate: int
    channels: int
    subtype: str | None
    data_bytes: int | None
    consumed: bytes


class _HeaderBytes:
    """The bytes of a header as they are read, so that another reader can have them again."""

    def __init__(self, read: Callable[[int], bytes], name: str, start: bytes) -> None:
        self._read = read
        self._name = name
        self.consumed = bytearray(start)

    def take(self, count: int) -> bytes:
        """The next `count` bytes; read in small steps, because `count` comes from the file."""
        if len(self.consumed) + count > HEADER_LIMIT:
            raise CodecError(
                f"{self._name} has a WAV header of more than {HEADER_LIMIT >> 20} MiB: convert the file"
            )
        start = len(self.consumed)
        while (missing := start + count - len(self.consumed)) > 0:
            data = self._read(min(missing, 65536))
            if not data:
                raise CodecError(f"{self._name} ends inside its WAV header: fetch the whole file")
            self.consumed += data
        return bytes(self.consumed[start:])


def is_wav(start: bytes) -> bool:
    """Whether these 12 bytes begin a WAV, of 32-bit (RIFF) or 64-bit sizes (RF64, BW64)."""
    return start[:4] in (b"RIFF", b"RF64", b"BW64") and start[8:12] == b"WAVE"


def read_header(read: Callable[[int], bytes], name: str, start: bytes) -> WavHeader:
    """Read from behind the first 12 bytes to the first sample.

    Args:
        read: `read(n)` returns 1 to n bytes, or none at the end.
        name: names the file in errors.
        start: the first 12 bytes, for which `is_wav` holds.

    Raises:
        CodecError: the header is cut, has no format, or is longer than 16 MiB.
    """
    header = _HeaderBytes(read, name, start)
    riff_bytes = struct.unpack("<I", start[4:8])[0]
    long_data_bytes: int | None = None
    layout: tuple[int, int, str | None] | None = None
    while True:
        chunk, size = struct.unpack("<4sI", header.take(8))
        if chunk == b"data":
            break
        body = header.take(size + size % 2)
        if chunk == b"fmt ":
            layout = _read_format(body, name)
        elif chunk == b"ds64" and len(body) >= 16:
            riff_bytes, long_data_bytes = struct.unpack("<QQ", body[:16])
    if layout is None:
        raise CodecError(f"{name} has no WAV format before its samples: convert the file")
    if size == _UNKNOWN and long_data_bytes is not None:
        size = long_data_bytes
    data_bytes = None if _is_unknown(size, riff_bytes, len(header.consumed)) else size
    return WavHeader(*layout, data_bytes, bytes(header.consumed))


def _read_format(body: bytes, name: str) -> tuple[int, int, str | None]:
    """The `fmt ` chunk: sample rate, channels and, for plain PCM, the sample format."""
    if len(body) < 16:
        raise CodecError(f"{name} has a WAV format that is cut short: convert the file")
    tag, channels, sample_rate, _, frame_bytes, _ = struct.unpack("<HHIIHH", body[:16])
    if tag == _TAG_EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        tag = struct.unpack("<H", body[24:26])[0]
    # Samples of, say, 20 bits lie at the upper end of whole bytes: the bytes a frame tell how to read them.
    sample_bytes, odd = divmod(frame_bytes, max(channels, 1))
    return sample_rate, channels, None if odd else _SUBTYPES.get((tag, sample_bytes))


def _is_unknown(size: int, riff_bytes: int, header_bytes: int) -> bool:
    """Whether a data size means "until the end": what streaming writers put where they cannot know it.

    ffmpeg writes all ones, sox and arecord a little less than 2 GiB, others 0; a true 0 is told by the RIFF
    size, which then covers the chunks that follow, if any.
    """
    if size == 0:
        return riff_bytes + 8 <= header_bytes or riff_bytes >= 0xFFFFF000
    return 0x7FFFF000 <= size <= 0x80000000 or 0xFFFFF000 <= size <= _UNKNOWN or size >= 2**63 - 1


def build_header(raw: RawFormat, data_bytes: int | None, extra: bytes = b"") -> bytes:
    """The header of a WAV file with this many bytes of samples, or of a stream with an unknown number.

    `extra` is whole chunks to stand between format and samples.

    Headers of a known length all have one size, whatever the length: one written first can be replaced later.
    A file beyond the limit of 32-bit sizes becomes RF64, in the place that a JUNK chunk keeps.
    """
    fmt = _build_format(raw) + extra
    if data_bytes is None:
        return (
            struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE") + fmt + struct.pack("<4sI", b"data", _UNKNOWN)
        )
    riff_bytes = 4 + 36 + len(fmt) + 8 + data_bytes + data_bytes % 2
    if riff_bytes > SIZE_LIMIT:
        start = struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE")
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, data_bytes // raw.frame_bytes, 0)
        return start + sizes + fmt + struct.pack("<4sI", b"data", _UNKNOWN)
    start = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
    junk = struct.pack("<4sI28x", b"JUNK", 28)
    return start + junk + fmt + struct.pack("<4sI", b"data", data_bytes)


def _build_format(raw: RawFormat) -> bytes:
    """The `fmt ` chunk; more than two channels need the extensible form, with no speaker named."""
    tag = _TAG_FLOAT if raw.subtype.startswith("f") else _TAG_PCM
    sample_bytes = SAMPLE_BYTES[raw.subtype]
    bits = 8 * sample_bytes
    rates = (raw.channels, raw.sample_rate, raw.sample_rate * raw.frame_bytes, raw.frame_bytes, bits)
    if raw.channels > 2:
        extension = struct.pack("<HHIH", 22, bits, 0, tag) + _GUID_TAIL
        return struct.pack("<4sIHHIIHH", b"fmt ", 40, _TAG_EXTENSIBLE, *rates) + extension
    if tag == _TAG_FLOAT:
        return struct.pack("<4sIHHIIHHH", b"fmt ", 18, tag, *rates, 0)
    return struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, *rates)
