"""The Lightning module that trains a codec."""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import lightning
import torch
from torch import Tensor
from torch.optim import AdamW

from codec.model import CodecModel
from codec.training.config import Recipe
from codec.training.data import AudioDataModule
from codec.training.ema import WeightEma
from codec.training.losses import ReconstructionLoss
from codec.training.precision import bf16_is_faster
from codec.training.segments import SegmentBatch

log = logging.getLogger(__name__)

_WORDS = "bottleneck.quantizer.words"
_KMEANS_BATCH = 32
_EMA_EVERY = 10


class CodecTraining(lightning.LightningModule):
    """Trains encoder, bottleneck and decoder end to end.

    Everything an exact resume needs lies in buffers and in the checkpoint: weights, averaged weights, codebook usage, both optimizers,
    the step, the random state and, through the data module, the position in the data.
    """

    steps: Tensor
    skipped: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.model = CodecModel(recipe.model)
        self.reconstruction = ReconstructionLoss(recipe.training.losses, recipe.model.sample_rate)
        self.ema = WeightEma(self.model, recipe.training.ema_decay)
        self.bf16 = recipe.training.precision == "bf16"
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("skipped", torch.zeros((), dtype=torch.int64))

    def configure_optimizers(self) -> list[AdamW]:
        """One AdamW for the model; its parameter groups differ in weight decay."""
        config = self.recipe.training.optimizer
        words = self.model.bottleneck.quantizer.words
        matrices = [p for p in self.model.parameters() if p.ndim > 1 and p is not words]
        others = [p for p in self.model.parameters() if p.ndim <= 1 or p is words]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)]

    def on_fit_start(self) -> None:
        """Choose the arithmetic."""
        if self.recipe.training.precision == "auto":
            self.bf16 = bf16_is_faster(self.device)
        log.info("training in %s", "bf16 autocast" if self.bf16 else "float32")

    def training_step(self, batch: SegmentBatch, batch_idx: int) -> None:
        """One step of the optimizer on a batch of segments."""
        step = int(self.steps)
        quantize = step >= self.recipe.training.quantization.warm_start_steps
        if step == self.recipe.training.quantization.warm_start_steps:
            self._start_codebooks(step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output, quantized = self.model(
                batch.input, self._draw_codebooks(len(batch.input)), quantize
            )
        terms = self.reconstruction(batch.target, output)
        weights = self.reconstruction.weights()
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        if quantized is not None:
            loss = loss + quantized.loss
        norm = self._optimize(loss, step)
        logged = {f"loss/{name}": term.detach() for name, term in terms.items()}
        logged |= {
            "loss/total": loss.detach(),
            "train/gradient_norm": norm,
            "train/skipped": self.skipped.float(),
        }
        if quantized is not None:
            logged |= {f"bottleneck/{name}": value for name, value in quantized.stats.items()}
        self.log_dict(logged)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        self._finish_step(step)

    def learning_rate(self, step: int) -> float:
        """The learning rate at a step: linear warm-up, then cosine decay."""
        config = self.recipe.training.optimizer
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        progress = min(1.0, step / self.recipe.training.max_steps)
        share = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
        return config.learning_rate * share

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the averaged weights and the state of the random generators."""
        checkpoint["ema"] = self.ema.state_dict()
        checkpoint["random_state"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["random_state"]["cuda"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring the averaged weights and the random generators back."""
        self.ema.load_state_dict(checkpoint["ema"])
        torch.set_rng_state(checkpoint["random_state"]["cpu"].cpu())
        if "cuda" in checkpoint["random_state"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(checkpoint["random_state"]["cuda"].cpu(), self.device)

    def _draw_codebooks(self, batch: int) -> Tensor:
        config = self.recipe.training.quantization
        high = self.model.bottleneck.num_codebooks + 1
        return torch.randint(config.min_codebooks, high, (batch,)).to(self.device)

    def _optimize(self, loss: Tensor, step: int) -> Tensor:
        """Backward, clip and step; a gradient that is not finite changes nothing and is counted."""
        optimizer = cast(AdamW, self.optimizers())
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.recipe.training.optimizer.clip_norm
        )
        if torch.isfinite(norm):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            optimizer.step()
        else:
            self.skipped += 1
        return norm

    def _finish_step(self, step: int) -> None:
        if step % _EMA_EVERY == 0:
            self.ema.update(self.model)
        config, max_steps = self.recipe.training.quantization, self.recipe.training.max_steps
        quantizing = config.warm_start_steps <= step < config.replace_until * max_steps
        if quantizing and (step + 1) % config.replace_every == 0:
            self._replace_words()
        self.steps += 1
        self._datamodule().batches_seen += 1
        if int(self.steps) >= max_steps:
            self.trainer.should_stop = True

    @torch.no_grad()
    def _start_codebooks(self, step: int) -> None:
        """k-means on the latents of the batches to come, which are a pure function of seed and position."""
        dataset, hop = self._datamodule().dataset, self.recipe.model.hop
        frames = dataset.segment_samples // hop
        latents = []
        for index in range(-(-self.recipe.training.quantization.kmeans_vectors // (_KMEANS_BATCH * frames))):
            audio = dataset.batch(step + index * _KMEANS_BATCH, _KMEANS_BATCH).input.to(self.device)
            latents.append(self.model.normalize(self.model.encoder(audio)))
        self.model.bottleneck.fit_kmeans(torch.cat(latents), seed=self.recipe.training.seed)
        words = self.model.bottleneck.quantizer.words
        self.ema.reset_rows(_WORDS, slice(None), words)

    def _replace_words(self) -> None:
        """Replace unused words, forget their optimizer moments and their averages."""
        config = self.recipe.training.quantization
        words = self.model.bottleneck.quantizer.words
        replaced = self.model.bottleneck.replace_unused(config.replace_threshold, config.rows_per_word)
        state = cast(AdamW, self.optimizers()).state[words]
        for index, rows in enumerate(replaced):
            state["exp_avg"][index, rows] = 0.0
            state["exp_avg_sq"][index, rows] = 0.0
            self.ema.reset_rows(_WORDS, (torch.full_like(rows, index), rows), words[index, rows])
        self.log("bottleneck/replaced", float(sum(len(rows) for rows in replaced)))

    def _datamodule(self) -> AudioDataModule:
        return cast(AudioDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]
