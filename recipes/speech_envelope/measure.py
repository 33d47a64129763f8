"""How good a trained codec is: clips through bytes and back, at every bitrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codec.evaluation.metrics import METRICS
from codec.training.validation import ValidationClip
from recipes.speech_envelope.coder import SAMPLE_RATE, EnvelopeCodec
from recipes.speech_envelope.perceptual import psnr


def measure(codec: EnvelopeCodec, clips: Sequence[ValidationClip], bitrate: int) -> dict[str, Any]:
    """Code clips at ``bitrate`` bits a second, decode the bytes, and compare.

    Returns:
        ``kbps``, all bytes over all time, and for each metric of `recipes.speech_envelope.study.METRICS` the
        values by clip, None where a metric is undefined.
    """
    size, rows = 0, []
    for clip in clips:
        data = codec.encode(clip.audio, SAMPLE_RATE, bitrate)
        decoded = codec.decode(data)
        size += len(data)
        pair = (clip.audio, decoded)
        ratios = psnr(*pair)
        scores = [METRICS["pesq_wb"](*pair, SAMPLE_RATE), *ratios, METRICS["stoi"](*pair, SAMPLE_RATE)]
        rows.append([None if score.value is None else round(score.value, 4) for score in scores])
    seconds = sum(len(clip.audio) for clip in clips) / SAMPLE_RATE
    pesq, weighted, coding, intelligible = (list(column) for column in zip(*rows, strict=True))
    return {
        "kbps": round(size * 8 / seconds / 1000, 4),
        "pesq_wb": pesq,
        "psnr": weighted,
        "psnr_coding": coding,
        "stoi": intelligible,
    }
