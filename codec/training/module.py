"""The Lightning module that trains a codec."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW

from codec.config import to_mapping
from codec.errors import CodecError
from codec.model import CodecModel
from codec.nn.convolution import add_weight_norm, fold_weight_norm
from codec.quantize.quantizer import Quantized
from codec.training.config import AdversarialConfig, OptimizerConfig, Recipe
from codec.training.data import AudioDataModule
from codec.training.ema import WeightEma
from codec.training.objective import Objective
from codec.training.precision import bf16_is_faster
from codec.training.segments import SegmentBatch

log = logging.getLogger(__name__)

_WORDS = "bottleneck.quantizer.words"
_KMEANS_BATCH = 32
_EMA_EVERY = 10
_MAX_BAD_STEPS = 3
_CODEC, _DISCRIMINATOR = 0, 1
# What beside weights and optimizers has to be as it was for an exact resume.
_PROGRESS = ("steps", "skipped", "bad_in_a_row", "quantizing")


class CodecTraining(lightning.LightningModule):
    """Trains encoder, bottleneck and decoder end to end, against a discriminator where the recipe has one.

    Its checkpoints hold all that an exact resume needs: weights, averaged weights, codebook usage, both
    optimizers and the step, from which the random numbers of a step follow; the data module adds the position
    in the data.

    Attributes:
        steps: steps done, skipped ones included.
        skipped: steps that changed nothing because a gradient was not finite.
        quantizing: whether the codebooks are in use, that is, the warm start is over.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.model = CodecModel(recipe.model)
        add_weight_norm(self.model)
        self.objective = Objective(recipe.training, recipe.model.sample_rate)
        self.ema = WeightEma(self.model, recipe.training.ema_decay)
        self.bf16 = recipe.training.precision == "bf16"
        self._measures_bf16 = recipe.training.precision == "auto"
        self.steps = 0
        self.skipped = 0
        self.bad_in_a_row = 0
        self.quantizing = False

    def start_from(self, model: CodecModel) -> None:
        """Begin with the weights and codebooks of a trained model of this configuration: no warm start."""
        # Releases and averages of a training hold plain weights.
        fold_weight_norm(self.model)
        # What depends on how the codebooks are trained may be missing, and starts anew.
        self.model.load_state_dict(model.state_dict(), strict=False)
        add_weight_norm(self.model)
        quantizer = self.model.bottleneck.quantizer
        quantizer.usage.counts.zero_()
        if quantizer.averages is not None:
            quantizer.averages.restart(quantizer.words)
        self.ema = WeightEma(self.model, self.recipe.training.ema_decay)
        self.quantizing = True

    def configure_optimizers(self) -> list[AdamW]:
        """One AdamW for the codec, whose groups differ in weight decay, and one for the discriminator."""
        config, adversarial = self.recipe.training.optimizer, self.recipe.training.adversarial
        words = self.model.bottleneck.quantizer.words
        # Lengths of weight normalization, [C, 1, 1], are scales as biases are.
        decays = {p: p is not words and p.numel() > max(p.shape) for p in self.model.parameters()}
        matrices = [p for p, decay in decays.items() if decay]
        others = [p for p, decay in decays.items() if not decay]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizers = [AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)]
        if adversarial is not None and self.objective.discriminator is not None:
            parameters = self.objective.discriminator.parameters()
            rate, betas = adversarial.learning_rate, adversarial.betas
            optimizers.append(AdamW(parameters, lr=rate, betas=betas, weight_decay=0.0, fused=True))
        return optimizers

    def on_fit_start(self) -> None:
        """Choose the arithmetic, which a resumed run keeps."""
        if self._measures_bf16:
            self.bf16 = self.trainer.strategy.broadcast(bf16_is_faster(self.device))
        log.info("training in %s", "bf16 autocast" if self.bf16 else "float32")

    def training_step(self, batch: SegmentBatch, batch_idx: int) -> None:
        """One step of the optimizers on a batch of segments."""
        config = self.recipe.training
        self._seed_step()
        if not self.quantizing and self.steps >= config.quantization.warm_start_steps:
            self._start_codebooks()
        n = self._draw_codebooks(len(batch.input))
        with self._autocast():
            output, quantized = self.model(batch.input, n, self.quantizing)
        logged: dict[str, Tensor] = {}
        opponent = self._opponent()
        if opponent is not None and (self.steps - opponent.start_step) % opponent.every == 0:
            logged |= self._train_discriminator(batch.target, output.detach(), opponent)
        logged |= self._train_codec(batch.target, output, quantized, opponent is not None)
        if quantized is not None:
            stats = {"loss": quantized.loss.detach(), **quantized.stats}
            logged |= {f"bottleneck/{name}": value for name, value in stats.items()}
            logged["train/kbps"] = n.float().mean() * self._kbps_of_a_codebook()
        self._count_bad_steps(
            batch, [norm for name, norm in logged.items() if name.endswith("gradient_norm")]
        )
        self._log(logged)
        self._finish_step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the averaged weights, the progress, and the recipe, which makes the file complete."""
        checkpoint["ema"] = self.ema.state_dict()
        checkpoint["progress"] = {name: getattr(self, name) for name in _PROGRESS}
        checkpoint["bf16"] = self.bf16
        checkpoint["recipe"] = to_mapping(self.recipe)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring averaged weights and progress back, and keep to the arithmetic that was measured best."""
        self.ema.load_state_dict(checkpoint["ema"])
        for name in _PROGRESS:
            setattr(self, name, checkpoint["progress"][name])
        if self._measures_bf16:
            self.bf16, self._measures_bf16 = checkpoint["bf16"], False

    def _opponent(self) -> AdversarialConfig | None:
        """What is said of the discriminator, from the step on at which it takes part."""
        config = self.recipe.training.adversarial
        return config if config is not None and self.steps >= config.start_step else None

    def _seed_step(self) -> None:
        """Draw each step's random numbers from its own seed.

        They then do not depend on what ran before: a resumed run, or one that was validated in between, draws
        alike, and no state of a generator needs to be kept.
        """
        entropy = [self.recipe.training.seed, self.steps, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))

    def _draw_codebooks(self, batch: int) -> Tensor:
        low, high = self.recipe.training.quantization.min_codebooks, self.model.bottleneck.num_codebooks
        return torch.randint(low, high + 1, (batch,)).to(self.device)

    def _kbps_of_a_codebook(self) -> float:
        return self.model.bottleneck.bits_per_code * self.model.frame_rate / 1000.0

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _train_discriminator(
        self, target: Tensor, output: Tensor, config: AdversarialConfig
    ) -> dict[str, Tensor]:
        with self._autocast():
            loss = self.objective.discriminator_loss(target, output)
        norm = self._step(_DISCRIMINATOR, loss, config.learning_rate, config.clip_norm)
        return {"loss/discriminator": loss.detach(), "train/discriminator_gradient_norm": norm}

    def _train_codec(
        self, target: Tensor, output: Tensor, quantized: Quantized | None, adversarial: bool
    ) -> dict[str, Tensor]:
        # Cut here, the losses' gradients end at the decoded signal: the discriminator gets none of them.
        leaf = output.detach().float().requires_grad_()
        with self._autocast():
            losses = self.objective(target, leaf, adversarial)
        loss = (output * self.objective.gradient(losses, leaf)).sum()
        if quantized is not None:
            loss = loss + quantized.loss
        config = self.recipe.training.optimizer
        norm = self._step(_CODEC, loss, config.learning_rate, config.clip_norm)
        logged = {f"loss/{name}": value.detach() for name, value in losses.items()}
        return logged | {"loss/total": self.objective.total(losses).detach(), "train/gradient_norm": norm}

    def _step(self, index: int, loss: Tensor, learning_rate: float, clip_norm: float) -> Tensor:
        """Backward, clip and step one optimizer; a gradient that is not finite changes nothing.

        Returns the norm of the gradient before clipping, which is the same on all ranks.
        """
        optimizer = self._optimizer(index)
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        if torch.isfinite(norm):
            share = schedule(self.recipe.training.optimizer, self.steps, self.recipe.training.max_steps)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * share
            optimizer.step()
        return norm

    def _count_bad_steps(self, batch: SegmentBatch, norms: list[Tensor]) -> None:
        """Count a step with a gradient that is not finite; too many in a row end the training."""
        if all(bool(torch.isfinite(norm)) for norm in norms):
            self.bad_in_a_row = 0
            return
        self.skipped += 1
        self.bad_in_a_row += 1
        log.warning("step %d is skipped: its gradient is not finite", self.steps)
        if self.bad_in_a_row >= _MAX_BAD_STEPS:
            path = Path(self.trainer.default_root_dir) / f"bad_batch_{self.global_rank}.pt"
            torch.save({"step": self.steps, "input": batch.input, "target": batch.target}, path)
            raise CodecError(
                f"the gradients of {_MAX_BAD_STEPS} steps in a row were not finite: look at the last batch, "
                f"saved as {path}, or go on from the last state with a lower learning rate"
            )

    def _log(self, logged: dict[str, Tensor]) -> None:
        share = schedule(self.recipe.training.optimizer, self.steps, self.recipe.training.max_steps)
        numbers = {
            # Lightning's own count has both optimizers in it.
            "step": float(self.steps),
            "train/learning_rate": self.recipe.training.optimizer.learning_rate * share,
            "train/skipped": float(self.skipped),
        }
        self.log_dict({**logged, **numbers})
        self.log("loss", logged["loss/total"], prog_bar=True, logger=False)

    def _finish_step(self) -> None:
        if self.steps % _EMA_EVERY == 0:
            self.ema.update(self.model)
        config, max_steps = self.recipe.training.quantization, self.recipe.training.max_steps
        replacing = self.quantizing and self.steps < config.replace_until * max_steps
        if replacing and (self.steps + 1) % config.replace_every == 0:
            self._replace_words()
        self.steps += 1
        self._datamodule().batches_seen += 1
        if self.steps >= max_steps:
            self.trainer.should_stop = True

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """k-means on the latents of the segments to come, which are the same on all ranks."""
        datamodule, config = self._datamodule(), self.recipe.training
        frames = datamodule.segment_samples // self.recipe.model.hop
        latents = []
        for index in range(-(-config.quantization.kmeans_vectors // (_KMEANS_BATCH * frames))):
            start = datamodule.segments_seen + index * _KMEANS_BATCH
            audio = datamodule.dataset.batch(start, _KMEANS_BATCH).input.to(self.device)
            latents.append(self.model.normalize(self.model.encoder(audio)))
        self.model.bottleneck.fit_kmeans(torch.cat(latents), seed=config.seed)
        words = self.model.bottleneck.quantizer.words
        self.ema.reset_rows(_WORDS, torch.arange(len(words)), words)
        self.quantizing = True

    def _replace_words(self) -> None:
        """Replace unused words, forget their optimizer moments and their averages."""
        config = self.recipe.training.quantization
        words = self.model.bottleneck.quantizer.words
        replaced = self.model.bottleneck.replace_unused(config.replace_threshold, config.rows_per_word)
        moments = self._optimizer(_CODEC).state.get(words, {})
        for index, rows in enumerate(replaced):
            for name in moments.keys() & {"exp_avg", "exp_avg_sq"}:
                moments[name][index, rows] = 0.0
            self.ema.reset_rows(_WORDS, (torch.full_like(rows, index), rows), words[index, rows])
        self.log("bottleneck/replaced", float(sum(len(rows) for rows in replaced)))

    def _optimizer(self, index: int) -> AdamW:
        optimizers = self.optimizers()
        return cast(AdamW, optimizers[index] if isinstance(optimizers, list) else optimizers)

    def _datamodule(self) -> AudioDataModule:
        return cast(AudioDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]


def schedule(config: OptimizerConfig, step: int, max_steps: int) -> float:
    """The share of its learning rate that an optimizer has at a step: linear warm-up, then cosine decay."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = min(1.0, step / max_steps)
    return config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
