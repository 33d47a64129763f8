"""The live form: packets for networks that lose, double, delay and reorder some."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from codec.bitstream.crc8 import salted_crc8
from codec.bitstream.events import BlockRead, Event, HeaderRead, Lost, StreamEnd
from codec.bitstream.header import MAGIC, StreamHeader, parse_header
from codec.bitstream.lengths import WrittenFrames, samples_fit
from codec.errors import CodecError, UsageError

END_MAGIC = b"\x8eNAE"
NUMBER_MODULUS = 1 << 16
MAX_BRIDGED_FRAMES = 1 << 16

_NUMBER = struct.Struct(">H")
DATA_OVERHEAD = _NUMBER.size + 1
_END = struct.Struct(">4sQQ8s")
_CRC = struct.Struct(">I")
# Numbers within so many frames, or packets, of the one due are taken at their word.
_NEAR_FRAMES, _NEAR_PACKETS = 256, 8
# So many packets in a row that agree on a number farther off set the clock.
_LEAP_PACKETS = 3


class PacketWriter:
    """Writes one live stream, as ContainerWriter a file; every element that a method returns is a packet.

    The set-up packet, which is the header, comes first and again each second.

    Attributes:
        payload_bytes: bytes of payloads returned so far.
        container_bytes: all other bytes returned so far.
    """

    def __init__(self, header: StreamHeader) -> None:
        self._header = header
        self._salt = header.crc
        self._frames = WrittenFrames(header)
        self._set_up_frames = max(round(header.coded_rate / header.hop), 1)
        self._frames_since_set_up = 0
        self.payload_bytes = 0
        self.container_bytes = 0

    def start(self) -> list[bytes]:
        """Returns the set-up packet; raises UsageError if the stream was started before."""
        self._frames.start()
        return [self._set_up()]

    def block(self, position: int, payload: bytes, frames: int) -> list[bytes]:
        """Returns the next data packet, behind the set-up packet where a second has passed.

        Args:
            position: index of its first frame, a multiple of the header's `block_frames`.
            payload: the packed codes.
            frames: that it holds, `block_frames`, or fewer, but at least 1, in the last packet.

        Raises:
            UsageError: a value is out of range, or the order is wrong.
        """
        self._frames.add(position, payload, frames)
        packets = []
        if self._frames_since_set_up >= self._set_up_frames:
            packets.append(self._set_up())
        self._frames_since_set_up += self._header.block_frames
        number = _NUMBER.pack(position // self._header.block_frames % NUMBER_MODULUS)
        check = salted_crc8(number + payload, self._salt)
        self.payload_bytes += len(payload)
        self.container_bytes += DATA_OVERHEAD
        return [*packets, number + bytes([check]) + payload]

    def finish(self, num_samples: int, codes_hash: bytes, num_frames: int | None = None) -> list[bytes]:
        """Returns the end packet; arguments and errors are those of ContainerWriter."""
        total = self._frames.finish(num_samples, codes_hash, num_frames)
        body = _END.pack(END_MAGIC, total, num_samples, codes_hash)
        packet = body + _CRC.pack(crc32(body, self._salt))
        self.container_bytes += len(packet)
        return [packet]

    def _set_up(self) -> bytes:
        self._frames_since_set_up = 0
        packet = self._header.to_bytes()
        self.container_bytes += len(packet)
        return packet


@dataclass
class PacketCounts:
    """How many packets of each kind arrived and were not played.

    Attributes:
        early: data before the first set-up packet.
        late: doubled, or after the packets that follow them: their time had passed.
        foreign: damaged, of another stream or version, or no packets of the codec at all.
        waiting: far from the number due, and never joined by enough others; see PacketReader.
    """

    early: int = 0
    late: int = 0
    foreign: int = 0
    waiting: int = 0


class PacketReader:
    """Reads one live stream, a packet at a time, with the events and attributes of ContainerReader.

    Listening begins with the first set-up packet, and the clock with the first data packet after it. A packet
    is played when it arrives: what comes after its successors is late and dropped, so that whoever wants to
    wait for it sorts packets before. Numbers up to 256 frames, or 8 packets, ahead of the one due tell a gap,
    and equally far behind are late. Numbers farther off may be stray packets that the 8-bit check let pass:
    they count once three in a row agree. Up to 65,536 frames ahead the gap is then told; beyond, and behind,
    the clock is set anew without one.

    Args:
        name: what messages call the stream.

    Attributes:
        payload_bytes: bytes of payloads in the good packets so far.
        container_bytes: bytes of set-up and end packets and good packets' overhead so far.
        skipped_bytes: all other bytes so far.
        dropped: the packets that were not played.
    """

    def __init__(self, name: str = "stream") -> None:
        self._name = name
        self._header: StreamHeader | None = None
        self._salt = 0
        self._due: int | None = None
        self._leap: list[tuple[int, bytes]] = []
        self._end: StreamEnd | None = None
        self._finished = False
        self._shortfall = 0
        self.payload_bytes = 0
        self.container_bytes = 0
        self.skipped_bytes = 0
        self.dropped = PacketCounts()

    @property
    def header(self) -> StreamHeader | None:
        """What the set-up packet says, or None before it arrived."""
        return self._header

    @property
    def position(self) -> int:
        """Index of the frame that is due next."""
        return self._due or 0

    def push(self, packet: bytes | bytearray | memoryview) -> list[Event]:
        """Takes a packet and returns what it completes.

        Raises:
            CodecError: before the first set-up packet one arrived that is damaged or of another version; the
                next may be whole.
            UsageError: `finish` was called.
        """
        if self._finished:
            raise UsageError("nothing can be pushed after finish()")
        data = bytes(packet)
        if self._header is None:
            return self._join(data)
        if data.startswith(MAGIC) and data == self._header.to_bytes():
            self.container_bytes += len(data)
            return []
        if not self._is_end(data):
            return self._read_data(data, self._header)
        if self._end is not None:
            self._drop_late(data)
            return []
        self.container_bytes += len(data)
        return self._read_end(data, self._header)

    def finish(self) -> list[Event]:
        """Tells that the stream is over and returns the last event.

        Raises:
            CodecError: no set-up packet arrived.
            UsageError: it was called before.
        """
        if self._finished:
            raise UsageError("finish() was called already")
        self._finished = True
        if self._header is None:
            raise CodecError(f"{self._name} sent no set-up packet: listen for longer than a second")
        self._drop_leap()
        missing = StreamEnd(self.position, None, None, "the end packet is missing")
        return [self._end or missing]

    def _join(self, data: bytes) -> list[Event]:
        if not data.startswith(MAGIC):
            self.dropped.early += 1
            self.skipped_bytes += len(data)
            return []
        try:
            parsed = parse_header(data, self._name)
        except CodecError:
            self._drop(data)
            raise
        if parsed is None or parsed[1] != len(data):
            self._drop(data)
            raise CodecError(f"{self._name} sent a damaged header: wait for the next")
        self._header = parsed[0]
        self._salt = self._header.crc
        self.container_bytes += len(data)
        return [HeaderRead(self._header)]

    def _is_end(self, data: bytes) -> bool:
        body, check = data[: _END.size], data[_END.size :]
        return data.startswith(END_MAGIC) and check == _CRC.pack(crc32(body, self._salt))

    def _read_end(self, data: bytes, header: StreamHeader) -> list[Event]:
        self._drop_leap()
        _, num_frames, num_samples, codes_hash = _END.unpack_from(data)
        ahead = num_frames - self.position if self._due is not None else 0
        if not -self._shortfall <= ahead <= MAX_BRIDGED_FRAMES:
            reason = f"the end packet states {num_frames} frames, and the clock stands at {self.position}"
            self._end = StreamEnd(self.position, None, None, reason)
            return []
        if not samples_fit(header, num_frames, num_samples):
            reason = f"the end packet states {num_samples} samples for {num_frames} frames"
            self._end = StreamEnd(num_frames, None, codes_hash, reason)
        else:
            self._end = StreamEnd(num_frames, num_samples, codes_hash, None)
        return self._lose(ahead)

    def _read_data(self, data: bytes, header: StreamHeader) -> list[Event]:
        limit = DATA_OVERHEAD + header.max_payload_bytes
        number, check = data[: _NUMBER.size], data[_NUMBER.size : DATA_OVERHEAD]
        payload = data[DATA_OVERHEAD:]
        if not DATA_OVERHEAD < len(data) <= limit or check != bytes(
            [salted_crc8(number + payload, self._salt)]
        ):
            self._drop(data)
            return []
        if self._end is not None:
            self._drop_late(data)
            return []
        return self._place(data, header.block_frames)

    def _place(self, data: bytes, frames: int) -> list[Event]:
        """Finds a packet's place on the clock, or drops it."""
        (number,), payload = _NUMBER.unpack_from(data), data[DATA_OVERHEAD:]
        if self._due is None:
            self._due = number * frames
        ahead = (number - self._due // frames) % NUMBER_MODULUS
        near = max(_NEAR_FRAMES // frames, _NEAR_PACKETS)
        if ahead <= near:
            self._drop_leap()
            return [*self._lose(ahead * frames), self._take(payload, frames)]
        if ahead >= NUMBER_MODULUS - near:
            self._drop_late(data)
            return []
        if self._leap and number != (self._leap[-1][0] + 1) % NUMBER_MODULUS:
            self._drop_leap()
        self._leap.append((number, payload))
        return self._take_leap(self._due, frames) if len(self._leap) == _LEAP_PACKETS else []

    def _take_leap(self, due: int, frames: int) -> list[Event]:
        ahead = (self._leap[0][0] - due // frames) % NUMBER_MODULUS
        if ahead < NUMBER_MODULUS // 2 and ahead * frames <= MAX_BRIDGED_FRAMES:
            events = self._lose(ahead * frames)
        else:
            events = [Lost(due, 0, "the clock was set anew, after an outage or at a restart")]
            self._due = due + ahead * frames
        blocks = [self._take(payload, frames) for _, payload in self._leap]
        self._leap.clear()
        return [*events, *blocks]

    def _take(self, payload: bytes, frames: int) -> BlockRead:
        event = BlockRead(self.position, payload)
        self._due = self.position + frames
        self._shortfall = frames - 1
        self.payload_bytes += len(payload)
        self.container_bytes += DATA_OVERHEAD
        return event

    def _lose(self, frames: int) -> list[Event]:
        if frames <= 0:
            return []
        event = Lost(self.position, frames, "missing")
        self._due = self.position + frames
        self._shortfall = 0
        return [event]

    def _drop_late(self, data: bytes) -> None:
        self.dropped.late += 1
        self.skipped_bytes += len(data)

    def _drop(self, data: bytes) -> None:
        self.dropped.foreign += 1
        self.skipped_bytes += len(data)

    def _drop_leap(self) -> None:
        self.dropped.waiting += len(self._leap)
        self.skipped_bytes += sum(DATA_OVERHEAD + len(payload) for _, payload in self._leap)
        self._leap.clear()
