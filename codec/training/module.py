"""The Lightning module that trains a codec."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import AdamW

from codec.config import CodecConfig, to_mapping
from codec.model import CodecModel
from codec.nn.convolution import add_weight_norm, fold_weight_norm
from codec.quantize.codebooks import runs_ahead
from codec.quantize.quantizer import Quantized
from codec.training.bad_steps import BadSteps
from codec.training.config import AdversarialConfig, Recipe
from codec.training.course import Course, learning_rate_share
from codec.training.data import AudioDataModule
from codec.training.ema import WeightEma
from codec.training.frame_loss import FrameLoss
from codec.training.objective import Objective
from codec.training.precision import bf16_is_faster
from codec.training.segments import SegmentBatch

log = logging.getLogger(__name__)

_WORDS = "bottleneck.quantizer.words"
_KMEANS_BATCH = 32
_EMA_EVERY = 10
_LOG_EVERY = 20
_SETTLE_EVERY = 100
_CODEC, _DISCRIMINATOR = 0, 1


class CodecTraining(lightning.LightningModule):
    """Trains encoder, bottleneck and decoder end to end, against a discriminator where the recipe has one.

    Its checkpoints hold all that an exact resume needs: weights, averaged weights, codebook usage, both
    optimizers and the step, from which the random numbers of a step follow; the data module adds the position
    in the data.

    On a GPU the program runs ahead of the device: nothing in a step waits for a number, and only every 20
    steps some are looked at.

    Args:
        recipe: model and training.
        build: makes the model of a configuration, for models that try out what the codec does not have.

    Attributes:
        course: how far the training has come.
        bad: the steps that changed nothing because a gradient was not finite.
        quantizing: whether the codebooks are in use, that is, the warm start is over.
        metrics: the latest value of all that is logged, scalars or tensors of one number.
    """

    def __init__(self, recipe: Recipe, build: Callable[[CodecConfig], CodecModel] = CodecModel) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.model = build(recipe.model)
        add_weight_norm(self.model)
        self.objective = Objective(recipe.training, recipe.model.sample_rate)
        self.ema = WeightEma(self.model, recipe.training.ema_decay)
        losses = recipe.training.frame_losses
        self.channel = None if losses is None else FrameLoss(losses, recipe.model.dim)
        self.bf16 = recipe.training.precision == "bf16"
        self._measures_bf16 = recipe.training.precision == "auto"
        self.course = Course(recipe.training)
        self.bad = BadSteps()
        self.quantizing = False
        self.metrics: dict[str, Tensor | float] = {}

    @property
    def steps(self) -> int:
        """Steps done, skipped ones included."""
        return self.course.steps

    @property
    def skipped(self) -> int:
        """Steps that changed nothing because a gradient was not finite, as of the last look at them."""
        return self.bad.skipped

    @property
    def trains_codebooks(self) -> bool:
        """Whether the codebooks are in use and learn."""
        return self.quantizing and not self.recipe.training.decoder_only

    def start_from(self, model: CodecModel, discriminator: dict[str, Tensor] | None = None) -> None:
        """Begin with the weights and codebooks of a trained model of this configuration: no warm start.

        ``discriminator``: the weights of one that knows such a model's sound; without, it starts anew.
        """
        if discriminator is not None and self.objective.discriminator is not None:
            self.objective.discriminator.load_state_dict(discriminator)
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

    def setup(self, stage: str) -> None:
        """Hold what is not to be trained, before ranks agree on what is."""
        if self.recipe.training.decoder_only:
            self.model.requires_grad_(False)
            self.model.decoder_network.requires_grad_(True)

    def configure_optimizers(self) -> list[AdamW]:
        """One AdamW for the codec, whose groups differ in weight decay, and one for the discriminator."""
        config, adversarial = self.recipe.training.optimizer, self.recipe.training.adversarial
        words = self.model.bottleneck.quantizer.words
        trained = [p for p in self.model.parameters() if p.requires_grad]
        # Lengths of weight normalization, [C, 1, 1], are scales as biases are.
        decays = {p: p is not words and p.numel() > max(p.shape) for p in trained}
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

    def on_train_start(self) -> None:
        """Set the clock going."""
        self.course.begin()

    def training_step(self, batch: SegmentBatch, batch_idx: int) -> None:
        """One step of the optimizers on a batch of segments."""
        config = self.recipe.training
        self._seed_step()
        starts = not self.quantizing and self.steps >= config.quantization.warm_start_steps
        if starts:
            self._start_codebooks()
        if self.channel is not None and (starts or self.steps % _SETTLE_EVERY == 0):
            self.channel.settle(self.model)
        n = self._draw_codebooks(len(batch.input))
        quantized: Quantized | None = None
        with self._autocast():
            if config.decoder_only:
                output = self.model.from_codes(batch.input, n, self.channel)
            else:
                output, quantized = self.model(batch.input, n, self.quantizing, self.channel)
        logged: dict[str, Tensor | float] = {}
        opponent = self._opponent()
        if opponent is not None and (self.steps - opponent.start_step) % opponent.every == 0:
            logged |= self._train_discriminator(batch.target, output.detach(), opponent)
        logged |= self._train_codec(batch.target, output, quantized, opponent is not None)
        if quantized is not None:
            stats = {"loss": quantized.loss.detach(), **quantized.stats}
            logged |= {f"bottleneck/{name}": value for name, value in stats.items()}
        if self.quantizing:
            logged["train/kbps"] = n.float().mean() * self._kbps_of_a_codebook()
        norms = [logged[name] for name in logged if name.endswith("gradient_norm")]
        self.bad.note(self.steps, cast(list[Tensor], norms), batch)
        if self._is_logging() or not runs_ahead(batch.input):
            self.look_at_bad_steps()
        self._log(logged)
        self._finish_step()

    def look_at_bad_steps(self) -> None:
        """Count bad steps up to here; CodecError at three in a row, the last one's batch then being saved."""
        self.bad.look(Path(self.trainer.default_root_dir), self.global_rank)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the averaged weights, the progress, and the recipe, which makes the file complete."""
        checkpoint["ema"] = self.ema.state_dict()
        self.look_at_bad_steps()
        checkpoint["progress"] = {
            "steps": self.steps,
            "skipped": self.bad.skipped,
            "bad_in_a_row": self.bad.in_a_row,
            "quantizing": self.quantizing,
        }
        checkpoint["seconds"] = self.course.seconds
        checkpoint["bf16"] = self.bf16
        checkpoint["recipe"] = to_mapping(self.recipe)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Bring averaged weights and progress back, and keep to the arithmetic that was measured best."""
        self.ema.load_state_dict(checkpoint["ema"])
        progress = checkpoint["progress"]
        self.course.steps = progress["steps"]
        # States of earlier versions do not tell their time.
        self.course.seconds = checkpoint.get("seconds", 0.0)
        self.bad.skipped, self.bad.in_a_row = progress["skipped"], progress["bad_in_a_row"]
        self.quantizing = progress["quantizing"]
        if self._measures_bf16:
            self.bf16, self._measures_bf16 = checkpoint["bf16"], False

    def _opponent(self) -> AdversarialConfig | None:
        """What is said of the discriminator, from where on it takes part."""
        config = self.recipe.training.adversarial
        if config is None or self.steps < config.start_step or self.course.share < config.start_share:
            return None
        return config

    def _seed_step(self) -> None:
        """Draw each step's random numbers from its own seed.

        They then do not depend on what ran before: a resumed run, or one that was validated in between, draws
        alike, and no state of a generator needs to be kept.
        """
        entropy = [self.recipe.training.seed, self.steps, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))

    def _draw_codebooks(self, batch: int) -> Tensor:
        low, high = self.recipe.training.quantization.min_codebooks, self.model.bottleneck.num_codebooks
        return torch.randint(low, high + 1, (batch,)).to(self.device, non_blocking=True)

    def _kbps_of_a_codebook(self) -> float:
        return self.model.bottleneck.bits_per_code * self.model.frame_rate / 1000.0

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _train_discriminator(
        self, target: Tensor, output: Tensor, config: AdversarialConfig
    ) -> dict[str, Tensor | float]:
        with self._autocast():
            loss = self.objective.discriminator_loss(target, output)
        norm = self._step(_DISCRIMINATOR, loss, config.learning_rate, config.clip_norm)
        return {"loss/discriminator": loss.detach(), "train/discriminator_gradient_norm": norm}

    def _train_codec(
        self, target: Tensor, output: Tensor, quantized: Quantized | None, adversarial: bool
    ) -> dict[str, Tensor | float]:
        # Cut here, the losses' gradients end at the decoded signal: the discriminator gets none of them.
        leaf = output.detach().float().requires_grad_()
        with self._autocast():
            losses = self.objective(target, leaf, adversarial)
        loss = (output * self.objective.gradient(losses, leaf)).sum()
        if quantized is not None:
            loss = loss + quantized.loss
        config = self.recipe.training.optimizer
        norm = self._step(_CODEC, loss, config.learning_rate, config.clip_norm)
        logged: dict[str, Tensor | float] = {f"loss/{name}": value.detach() for name, value in losses.items()}
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
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * self._learning_rate_share()
        # The fused step looks at this on the device, and does nothing where it is 1.
        _unwrapped(optimizer).found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        optimizer.step()
        return norm

    def _learning_rate_share(self) -> float:
        return learning_rate_share(self.recipe.training.optimizer, self.steps, self.course.share)

    def _is_logging(self) -> bool:
        return (self.steps + 1) % _LOG_EVERY == 0

    def _log(self, logged: Mapping[str, Tensor | float]) -> None:
        rate = self.recipe.training.optimizer.learning_rate * self._learning_rate_share()
        now = {**logged, "train/learning_rate": rate, "train/skipped": float(self.skipped)}
        self.metrics |= now
        if self._is_logging():
            self._write(now)

    def _write(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Send metrics to the log; not by Lightning, which would look at each of them in every step."""
        tensors = {name: value.float() for name, value in metrics.items() if isinstance(value, Tensor)}
        numbers = dict(metrics)
        if tensors:
            numbers |= zip(tensors, torch.stack(list(tensors.values())).tolist(), strict=True)
        for logger in self.loggers:
            logger.log_metrics(cast(dict[str, float], numbers), self.steps)
            logger.save()

    def _finish_step(self) -> None:
        if self.steps % _EMA_EVERY == 0:
            self.ema.update(self.model)
        config = self.recipe.training.quantization
        replacing = self.trains_codebooks and self.course.share < config.replace_until
        if replacing and (self.steps + 1) % config.replace_every == 0:
            self._replace_words()
        self.course.take_step(self.trainer.strategy.broadcast)
        self._datamodule().batches_seen += 1
        if self.course.over:
            if self.steps % _LOG_EVERY:
                self._write(self.metrics)
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
        self.metrics["bottleneck/replaced"] = float(sum(len(rows) for rows in replaced))
        self._write({"bottleneck/replaced": self.metrics["bottleneck/replaced"]})

    def _optimizer(self, index: int) -> AdamW:
        optimizers = self.optimizers()
        return cast(AdamW, optimizers[index] if isinstance(optimizers, list) else optimizers)

    def _datamodule(self) -> AudioDataModule:
        return cast(AudioDataModule, self.trainer.datamodule)  # type: ignore[attr-defined]


def _unwrapped(optimizer: AdamW | LightningOptimizer) -> AdamW:
    return cast(AdamW, optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer)
