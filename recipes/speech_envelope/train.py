"""Training of one codec of the study."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from codec.quantize import AdditiveVQ, ProductVQ, ResidualVQ, VectorQuantizer
from codec.quantize.codebooks import perplexity
from codec.training.validation import ValidationClip
from recipes.common.care import replace_words
from recipes.speech_envelope.model import NUM_BANDS, POWER_FLOOR, EnvelopeModel
from recipes.speech_envelope.perceptual import lines_of
from recipes.speech_envelope.study import Method, Run, Start, Study, Training


def training_lines(clips: Sequence[ValidationClip], most: int, seed: int = 0) -> Tensor:
    """Spectral lines ``[N, 320]`` of at most ``most`` frames of the clips that are not silent, shuffled."""
    lines = torch.cat([lines_of(clip.audio) for clip in clips])
    lines = lines[lines.square().mean(dim=1) > POWER_FLOOR]
    return lines[torch.randperm(len(lines), generator=torch.Generator().manual_seed(seed))[:most]]


def build_quantizer(method: Method, study: Study, training: Training) -> VectorQuantizer:
    """The bottleneck of a method, for vectors of 16 numbers."""
    if method in ("nsvq", "ste"):
        return ResidualVQ(NUM_BANDS, 1, 2**training.single_bits, method)
    sizes = (NUM_BANDS, study.num_codebooks, study.codebook_size)
    if method == "additive":
        return AdditiveVQ(*sizes, beam=study.beam, train_beam=study.train_beam)
    return ResidualVQ(*sizes) if method == "residual" else ProductVQ(*sizes)


@torch.no_grad()
def start_words(quantizer: VectorQuantizer, start: Start, levels: Tensor, seed: int) -> None:
    """Give the codebooks of a new quantizer their first words, from levels ``[N, 16]``."""
    # K-means begins at vectors that are drawn; a new quantizer's words are normal already.
    if start != "normal":
        quantizer.fit_kmeans(levels, iterations=10 if start == "kmeans" else 0, seed=seed)


def train(run: Run, study: Study, training: Training, lines: Tensor) -> tuple[EnvelopeModel, dict[str, Any]]:
    """Train on lines ``[N, 320]``: Adam on the bits of a line, under the run's condition.

    Runs of one seed see the same frames. The rate falls linearly to zero.

    Returns:
        the model, and ``train_seconds`` of CPU time, ``bits``, the mean of the last tenth of the updates,
        ``replaced`` words and the codebooks' ``perplexity`` at the end.
    """
    start, (setting, condition) = time.thread_time(), run
    draws = torch.Generator().manual_seed(setting.seed)
    torch.manual_seed(setting.seed)
    quantizer = build_quantizer(setting.method, study, training)
    model = EnvelopeModel(quantizer, study.components)
    with torch.no_grad():
        levels = model.levels(lines[: training.start_frames])
    start_words(quantizer, condition.start, levels, setting.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate, fused=True)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1.0 - update / training.updates)
    replaced, bits = 0, []
    for update in range(1, training.updates + 1):
        batch = lines[torch.randint(len(lines), (training.batch,), generator=draws)]
        entropy, own = model(batch)
        optimizer.zero_grad()
        (entropy + own).backward()
        optimizer.step()
        falling.step()
        bits.append(float(entropy.detach()))
        if update % training.replace_every == 0 and update <= training.replace_until * training.updates:
            if condition.replacement:
                care = (training.replace_threshold, training.rows_per_word)
                replaced += replace_words(quantizer, optimizer, *care)
            else:
                # Perplexities are of the last updates, as with replacement, which counts anew.
                quantizer.usage.counts.zero_()
    last = bits[-max(1, len(bits) // 10) :]
    return model, {
        "train_seconds": round(time.thread_time() - start, 2),
        "bits": sum(last) / len(last),
        "replaced": replaced,
        "perplexity": perplexity(quantizer.usage.counts).tolist(),
    }
