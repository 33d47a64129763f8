"""What can be seen of a training while it runs: codebooks, validation and a progress bar."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import TensorBoardLogger

from codec.training import validation
from codec.training.module import CodecTraining

log = logging.getLogger(__name__)


class CodebookMonitor(Callback):
    """Logs usage and perplexity of each codebook, as counted since its words were last looked over.

    "usage" is the share of words that were chosen at all, "perplexity" the number of words that, chosen
    equally often, would give the same entropy.
    """

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Log in the steps that may replace words, before the counts start anew."""
        module = cast(CodecTraining, pl_module)
        every = module.recipe.training.quantization.replace_every
        if not module.trains_codebooks or (module.steps + 1) % every or not trainer.is_global_zero:
            return
        usage = module.model.bottleneck.usage
        shares = (usage.counts > 0).float().mean(dim=1)
        logged = {}
        for index, (spread, used) in enumerate(zip(usage.perplexity, shares, strict=True), start=1):
            logged[f"perplexity/codebook_{index:02d}"] = float(spread)
            logged[f"usage/codebook_{index:02d}"] = float(used)
        for logger in trainer.loggers:
            logger.log_metrics(logged, module.steps)


class Validation(Callback):
    """Measures the averaged weights on a fixed list of clips, and lets some of them be heard and seen.

    Every ``validation.every`` steps of the recipe and at its last one, once the codebooks are in use. Sounds
    and spectrograms go to TensorBoard only.

    Args:
        sources: where the clips are, as for training data.
    """

    def __init__(self, sources: Sequence[str | Path]) -> None:
        self.sources = sources
        self.clips: list[validation.ValidationClip] = []
        self._metrics: list[str] = []
        self._draws = False
        self._shown_original = False

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Load the clips; what cannot be measured here is said once."""
        if trainer.is_global_zero:
            sample_rate = cast(CodecTraining, pl_module).recipe.model.sample_rate
            self.clips = validation.load_clips(self.sources, sample_rate)
            self._metrics = validation.usable_metrics()
            self._draws = validation.can_draw()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Measure on the first rank where it is time; the others wait at the next step."""
        module = cast(CodecTraining, pl_module)
        config = module.recipe.training
        due = module.steps % config.validation.every == 0 or module.course.over
        if due and module.quantizing and trainer.is_global_zero:
            with module.ema.swap(module.model):
                self._validate(trainer, module)

    def _validate(self, trainer: lightning.Trainer, module: CodecTraining) -> None:
        model, config = module.model, module.recipe.training.validation
        originals = [clip.audio for clip in self.clips]
        counts = sorted({min(count, model.bottleneck.num_codebooks) for count in config.num_codebooks})
        for count in counts:
            decoded = [validation.reconstruct(model, audio, count) for audio in originals]
            scores = validation.mean_scores(originals, decoded, model.config.sample_rate, self._metrics)
            said = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
            log.info("step %d, %d codebooks: %s", module.steps, count, said)
            named = {f"validation/{name}_at_{count:02d}": value for name, value in scores.items()}
            for logger in trainer.loggers:
                logger.log_metrics(named, module.steps)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                self._show(logger.experiment, decoded[: config.shown], module.steps, model.config.sample_rate)

    def _show(self, board: Any, decoded: Sequence[validation.Audio], step: int, sample_rate: int) -> None:
        """Log the first clips as sounds and pictures, their originals once."""
        for clip, sound in zip(self.clips, decoded, strict=False):
            sounds = (
                {"decoded": sound} if self._shown_original else {"original": clip.audio, "decoded": sound}
            )
            for kind, samples in sounds.items():
                board.add_audio(f"{clip.name}/{kind}", samples, step, sample_rate=sample_rate)
            if self._draws:
                pictures = validation.draw_spectrograms([clip.audio, sound], sample_rate)
                for kind, picture in zip(("original", "decoded"), pictures, strict=True):
                    if kind in sounds:
                        board.add_image(f"{clip.name}/{kind}", picture, step, dataformats="HWC")
        self._shown_original = True


class StepBar(TQDMProgressBar):
    """One bar on standard error over all steps of the training, resumed ones included."""

    def init_train_tqdm(self) -> Tqdm:
        """The bar, which knows the end that Lightning does not."""
        module = cast(CodecTraining, self.trainer.lightning_module)
        config = module.recipe.training
        return Tqdm(
            desc="training",
            # How many steps some minutes are nobody knows beforehand.
            total=config.max_steps if config.max_minutes is None else None,
            initial=module.steps,
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Leave the bar as it is: there is one endless epoch."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        """Move on to the step that the module has come to."""
        module, bar = cast(CodecTraining, pl_module), self.train_progress_bar
        steps = module.steps
        if steps % self.refresh_rate == 0 or steps == bar.total:
            bar.update(steps - bar.n)
            bar.set_postfix(loss=f"{float(module.metrics['loss/total']):.3f}")
