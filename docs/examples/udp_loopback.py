"""Send a sound through UDP on this machine, over a network that loses and delays packets.

    python docs/examples/udp_loopback.py talk.wav heard.wav --loss 10% --jitter 40 --buffer 60

The sender encodes 20 ms at a time, as a microphone would deliver it. Between it and the receiver a simulated
network drops some packets and delays others, so that they overtake each other. The receiver sorts what comes
in a small jitter buffer, and gives each packet as long as the buffer lasts: what has not come by then is lost
to it, and the decoder conceals the gap.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer

from codec import DEFAULT_MODEL, Codec, StreamDecoder, StreamEncoder
from codec.bitstream.header import MAGIC
from codec.bitstream.packets import END_MAGIC, NUMBER_MODULUS
from codec.errors import CodecError
from codec.loss import parse_loss
from codec.pcm import Samples

PACKET_SECONDS = 0.02


@dataclass
class Network:
    """A network that loses and delays packets on their way to a UDP address.

    Attributes:
        loss: tells of each packet in turn whether it is lost.
        jitter: longest delay in seconds; each packet has its own.
        rng: draws the delays.
        lost: packets that were lost so far.
    """

    loss: Iterator[bool]
    jitter: float
    rng: random.Random
    lost: int = 0

    def send(self, transport: asyncio.DatagramTransport, packet: bytes) -> None:
        """Drop a packet, or send it after its delay."""
        if next(self.loss):
            self.lost += 1
            return
        asyncio.get_running_loop().call_later(self.rng.uniform(0, self.jitter), transport.sendto, packet)


class JitterBuffer(asyncio.DatagramProtocol):
    """Receives packets, and gives each out after a fixed time, sorted by their numbers.

    Args:
        seconds: that a packet waits for those that it overtook.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: list[tuple[int, int, float, bytes]] = []
        self._newest: int | None = None
        self._count = 0

    def datagram_received(self, data: bytes, _: object) -> None:
        """Sort a packet in."""
        self._count += 1
        due = asyncio.get_running_loop().time() + self._seconds
        heapq.heappush(self._waiting, (self._place(data), self._count, due, data))

    def take(self) -> list[bytes]:
        """The packets, in order, up to the last whose time has come."""
        now, ready = asyncio.get_running_loop().time(), []
        while any(due <= now for _, _, due, _ in self._waiting):
            ready.append(heapq.heappop(self._waiting)[3])
        return ready

    def _place(self, data: bytes) -> int:
        """The number of a data packet, unwrapped; that of the newest one for the header and the end."""
        newest = self._newest or 0
        if data.startswith((MAGIC, END_MAGIC)):
            return newest + (1 << 32 if data.startswith(END_MAGIC) else 0)
        number = int.from_bytes(data[:2])
        if self._newest is not None:
            number = newest + (number - newest + NUMBER_MODULUS // 2) % NUMBER_MODULUS - NUMBER_MODULUS // 2
        self._newest = max(newest, number)
        return number


async def send(encoder: StreamEncoder, audio: Samples, port: int, network: Network, pace: float) -> None:
    """Encode and send audio ``[n, C]`` as fast as it would be heard, times ``pace``."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port)
    )
    step = round(PACKET_SECONDS * encoder.header.sample_rate)
    start = loop.time()
    for number, at in enumerate(range(0, len(audio), step)):
        # In a thread: other tasks go on while the processor encodes.
        packets = await asyncio.to_thread(encoder.push, audio[at : at + step])
        for packet in packets:
            if packet.startswith(MAGIC):
                transport.sendto(packet)  # a call sets itself up by means that lose nothing
            else:
                network.send(transport, packet)
        await asyncio.sleep(start + (number + 1) * PACKET_SECONDS / pace - loop.time())
    for packet in await asyncio.to_thread(encoder.flush):
        network.send(transport, packet)
    await asyncio.sleep(2 * network.jitter + PACKET_SECONDS)
    transport.close()


async def play(decoder: StreamDecoder, buffer: JitterBuffer, sending: asyncio.Task[None]) -> Samples:
    """Decode what the buffer gives out, as the sound card would ask for it, until nothing more comes."""
    parts: list[Samples] = []
    idle = 0
    while idle < 5:
        packets = buffer.take()
        idle = idle + 1 if sending.done() and not packets else 0
        for packet in packets:
            parts.append(await asyncio.to_thread(decoder.push, packet))
        await asyncio.sleep(PACKET_SECONDS)
    parts.append(decoder.flush())
    return np.concatenate([part for part in parts if len(part)])


async def call(
    codec: Codec, audio: Samples, rate: int, network: Network, buffer_seconds: float, pace: float
) -> tuple[Samples, StreamDecoder]:
    """Send audio ``[n, C]`` over the network; what is heard, and the decoder with its list of damage."""
    loop = asyncio.get_running_loop()
    buffer = JitterBuffer(buffer_seconds)
    receiving, _ = await loop.create_datagram_endpoint(lambda: buffer, local_addr=("127.0.0.1", 0))
    port = receiving.get_extra_info("sockname")[1]
    encoder = StreamEncoder(
        codec.model, rate, audio.shape[1], packet_ms=1000 * PACKET_SECONDS, framing="packets"
    )
    decoder = StreamDecoder(codec.model, framing="packets")
    sending = asyncio.create_task(send(encoder, audio, port, network, pace))
    try:
        heard = await play(decoder, buffer, sending)
        await sending
    finally:
        sending.cancel()
        receiving.close()
    return heard, decoder


def main(
    source: Annotated[Path, typer.Argument(help="A WAV or FLAC file.")],
    target: Annotated[Path, typer.Argument(help="The WAV file for what is heard.")],
    model: Annotated[str, typer.Option(help="Name or folder of a checkpoint.")] = DEFAULT_MODEL,
    loss: Annotated[str, typer.Option(help="10%, 10%:3 in bursts of 3, or a pattern file.")] = "10%",
    jitter: Annotated[float, typer.Option(min=0, help="Longest delay of a packet, ms.")] = 40.0,
    buffer: Annotated[float, typer.Option(min=0, help="Time for late packets to come, ms.")] = 60.0,
    pace: Annotated[float, typer.Option(min=0.1, help="2 sends twice as fast as real time.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of losses and delays.")] = 0,
) -> None:
    """Send a sound through UDP on this machine, over a network that loses and delays packets."""
    try:
        codec = Codec.load(model)
        audio, rate = soundfile.read(source, dtype="float32", always_2d=True)
        network = Network(parse_loss(loss, seed), jitter / 1000, random.Random(seed))
        heard, decoder = asyncio.run(call(codec, audio, rate, network, buffer / 1000, pace))
        soundfile.write(target, heard, rate)
    except (CodecError, soundfile.LibsndfileError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    concealed = sum(damage.seconds for damage in decoder.damage)
    typer.echo(
        f"{network.lost} packets were lost, {concealed:.2f} of {len(audio) / rate:.2f} s were concealed"
    )


if __name__ == "__main__":
    typer.run(main)
