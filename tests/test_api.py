"""The front door on arrays: tokens, latents, and independence of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec import Codec
from codec.checkpoint import save_model
from codec.errors import CodecError, UsageError
from tests.small_model import small_model

CODEC = Codec(small_model())


def _clips(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [(0.1 * rng.standard_normal(rng.integers(1, 9000))).astype(np.float32) for _ in range(count)]


def test_codes_of_a_clip_do_not_depend_on_its_batch(rng: np.random.Generator) -> None:
    clips = _clips(rng, 20)
    alone = [CODEC.tokens(clip, 16_000) for clip in clips]
    for size in (4, 7):
        batched = [codes for i in range(0, 20, size) for codes in CODEC.tokens(clips[i : i + size], 16_000)]
        assert all(np.array_equal(a, b) for a, b in zip(alone, batched, strict=True))
    padded = CODEC.tokens([np.pad(clip, (0, 5000)) for clip in clips], 16_000)
    for clip, a, b in zip(clips, alone, padded, strict=True):
        whole = len(clip) // CODEC.model.config.hop
        assert np.array_equal(a[:, :whole], b[:, :whole])


def test_tokens_are_what_the_bitstream_carries(rng: np.random.Generator) -> None:
    clip = _clips(rng, 1)[0]
    codes = CODEC.tokens(clip, 16_000, num_codebooks=3)
    assert codes.shape == (3, CODEC.model.num_frames(len(clip)))
    assert codes.dtype == np.int64
    audio, _ = CODEC.decode(CODEC.encode(clip, 16_000, num_codebooks=3))
    assert np.array_equal(CODEC.from_tokens(codes, len(clip)), audio)


def test_latents_are_normalized(rng: np.random.Generator) -> None:
    z = CODEC.latents(_clips(rng, 1)[0], 16_000)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-2)


def test_wrong_calls_are_refused(rng: np.random.Generator) -> None:
    codes = CODEC.tokens(_clips(rng, 1)[0], 16_000)
    with pytest.raises(UsageError, match="carry"):
        CODEC.from_tokens(codes, 10**6)
    with pytest.raises(CodecError, match="below 16"):
        CODEC.from_tokens(codes + 16)
    for wrong, length in ((codes[None], -1), (codes[0], None), (codes.astype(float), None)):
        with pytest.raises(UsageError, match="codes"):
            CODEC.from_tokens(wrong, length)
    with pytest.raises(UsageError, match="mono"):
        CODEC.tokens(np.zeros((100, 2), np.float32), 16_000)
    with pytest.raises(UsageError, match=r"1\.\.4"):
        CODEC.tokens(np.zeros(100, np.float32), 16_000, num_codebooks=9)
    with pytest.raises(UsageError, match="audio must be"):
        CODEC.encode(np.zeros((1, 2, 3), np.float32), 16_000, num_codebooks=1)
    with pytest.raises(CodecError, match="no model nothing"):
        Codec.load("nothing")


def test_damage_is_told(rng: np.random.Generator) -> None:
    data = bytearray(CODEC.encode(np.concatenate(_clips(rng, 4)), 16_000, num_codebooks=2))
    data[-40] ^= 1
    with pytest.warns(UserWarning, match=r"damaged in 1 place\(s\), the first at"):
        CODEC.decode(bytes(data))


def test_a_device_or_rate_that_cannot_be_is_refused(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path)
    for device in ("meters", "cuda:99"):
        with pytest.raises(UsageError, match=f"device {device} cannot be used"):
            Codec.load(tmp_path, device=device)
    with pytest.raises(UsageError, match=r"16000\.5"):
        CODEC.encode(np.zeros(10, np.float32), 16000.5)  # type: ignore[arg-type]


def test_latency_is_derived() -> None:
    assert CODEC.latency_ms == 40.0
