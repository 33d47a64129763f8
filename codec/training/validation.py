"""How good a codec is in the middle of its training: clips that it never trains on, measured and drawn."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from codec.dc_blocker import DcBlocker
from codec.evaluation.metrics import METRICS, available
from codec.evaluation.spectrogram import draw_png, log_mel
from codec.evaluation.statistics import defined
from codec.extras import require
from codec.model import CodecModel
from codec.training.clips import read_clip
from codec.training.sources import Source

log = logging.getLogger(__name__)

Audio = NDArray[np.float32]

_WANTED = ("pesq_wb", "stoi", "si_sdr", "log_mel_distance")


@dataclass(frozen=True, eq=False)
class ValidationClip:
    """A clip of the validation list: its ``name`` and its ``audio`` float32 ``[T]`` at the model's rate."""

    name: str
    audio: Audio


def load_clips(sources: Iterable[str | Path], sample_rate: int) -> list[ValidationClip]:
    """The first channel of every clip of the sources, in their order, at ``sample_rate`` Hz.

    Raises:
        CodecError: a source holds nothing usable, or a clip is damaged.
    """
    clips = []
    for source in sources:
        for clip in Source.parse(str(source)).clips():
            samples = read_clip(clip, sample_rate)[:, 0]
            clips.append(ValidationClip(clip.name, samples.astype(np.float32) / np.float32(32768.0)))
    return clips


def usable_metrics() -> list[str]:
    """The metrics whose packages are installed; those that are missing are logged."""
    usable = [name for name in _WANTED if available(name)]
    missing = [name for name in _WANTED if name not in usable]
    if missing:
        log.warning("not measured: %s; pip install 'codec[eval,pesq]'", ", ".join(missing))
    return usable


@torch.no_grad()
def reconstruct(model: CodecModel, audio: Audio, num_codebooks: int) -> Audio:
    """Send audio ``[T]`` through the quantized codec in one pass; as long as before, and aligned with it.

    As users hear it: without direct current, within full scale.
    """
    device = next(model.parameters()).device
    padding = model.num_frames(len(audio)) * model.config.hop - len(audio)
    coded = DcBlocker(model.config.sample_rate, 1).push(audio[:, None])[:, 0]
    x = F.pad(torch.from_numpy(coded).to(device)[None], (0, padding))
    codes = model.bottleneck.encode(model.normalize(model.encoder(x)), num_codebooks)
    decoded = model.decoder(model.bottleneck.decode(codes))[0]
    output: Audio = decoded[model.delay : model.delay + len(audio)].clamp(-1.0, 1.0).cpu().numpy()
    return output


def mean_scores(
    originals: Sequence[Audio], decoded: Sequence[Audio], sample_rate: int, metrics: Iterable[str]
) -> dict[str, float]:
    """The mean of each metric over the clips that it is defined for (others are logged); left out where it is
    for none."""
    means = {}
    for name in metrics:
        pairs = zip(originals, decoded, strict=True)
        if values := defined((METRICS[name](*pair, sample_rate) for pair in pairs), name):
            means[name] = float(np.mean(values))
    return means


def can_draw() -> bool:
    """Whether the packages that draw spectrograms are installed; it is logged where they are not."""
    missing = [name for name in ("librosa", "matplotlib") if not available(name)]
    if missing:
        log.warning("no spectrograms are drawn without %s; pip install 'codec[train]'", " and ".join(missing))
    return not missing


def draw_spectrograms(sounds: Sequence[Audio], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Pictures ``[height, width, 4]`` in [0, 1] of sounds ``[T]``, their colours on the scale of the first.

    Raises:
        CodecError: librosa or matplotlib is missing.
    """
    image = require("matplotlib.image", extra="train")
    spectra = [log_mel(sound, sample_rate) for sound in sounds]
    for decibels in spectra:
        yield image.imread(io.BytesIO(draw_png(decibels, float(spectra[0].max()))))
