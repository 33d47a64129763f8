from __future__ import annotations

import os
import random
import secrets

import pytest

from codec.bitstream import ContainerReader
from codec.errors import CodecError, UsageError
from tests.bitstream.streams import HEADER, check_reading, read, small_stream

ROUNDS = 20_000


@pytest.fixture
def rng() -> random.Random:
    """Draws from a new seed at each run; CODEC_FUZZ_SEED repeats one."""
    seed = int(os.environ.get("CODEC_FUZZ_SEED") or secrets.randbits(32))
    print(f"CODEC_FUZZ_SEED={seed}")
    return random.Random(seed)


def mutated(rng: random.Random, data: bytes, parts: list[bytes]) -> bytes:
    """Data after one accident: flips, zeros, a cut, bytes lost or doubled, junk, parts of any stream."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    kind = rng.randrange(8)
    if kind == 0:
        return data[:b]
    if kind == 1:
        return data[:a] + data[b:]
    if kind == 2:
        return data[:b] + data[a:]
    if kind == 3:
        return data[:a] + bytes(b - a) + data[b:]
    if kind == 4:
        return data[:a] + rng.randbytes(rng.randrange(40)) + data[a:]
    if kind == 5:
        return data[:a] + rng.choice(parts) + data[rng.choice([a, b]) :]
    flipped = bytearray(data)
    for _ in range(min(rng.randrange(1, 6), len(flipped))):
        flipped[rng.randrange(len(flipped))] ^= rng.randrange(1, 256)
    return bytes(flipped)


def test_mutated_streams_are_refused_or_read_without_a_wrong_code(rng: random.Random) -> None:
    payloads, parts = small_stream()
    _, other = small_stream(seed=1, model_id=b"another!")
    whole = b"".join(parts)
    refused = 0
    for _ in range(ROUNDS):
        keep = len(parts[0]) if rng.randrange(4) else 0
        data = whole[keep:]
        for _ in range(rng.randrange(1, 5)):
            data = mutated(rng, data, [*parts, *other[1:]])
        data = whole[:keep] + data
        sizes = [rng.choice([1, 2, 5, 16, 100, 1000]) for _ in range(3)]
        if data.startswith(parts[0]):
            events = read(data, sizes)
            check_reading(events, HEADER, payloads)
            assert events == read(data)
            continue
        refused += 1
        with pytest.raises(CodecError) as caught:
            read(data, sizes)
        assert not isinstance(caught.value, UsageError)
    assert 0 < refused < ROUNDS / 2


def test_junk_is_refused_or_read_to_its_end(rng: random.Random) -> None:
    _, parts = small_stream()
    for _ in range(ROUNDS // 3):
        junk = rng.randbytes(rng.randrange(300))
        if not parts[0].startswith(junk[:1]):
            with pytest.raises(CodecError, match="not a codec bitstream"):
                ContainerReader().push(junk)
        assert len(read(parts[0] + junk)) in (2, 3)
