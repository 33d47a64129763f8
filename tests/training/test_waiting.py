"""A step on a GPU asks it for nothing: the program would wait until the GPU has come to the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from codec.errors import CodecError
from codec.quantize import beam, quantizer, residual
from codec.training import module as module_file
from codec.training.config import FrameLossConfig
from codec.training.data import DataConfig
from codec.training.state import STATE_NAME
from tests.training.test_module import Watch, spoil
from tests.training.tiny import tiny_fit, tiny_recipe, with_bottleneck

aten = torch.ops.aten
# What gives a shape or a number that depends on values.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten.equal.default,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
}


class Questions(TorchDispatchMode):
    """Keeps the names of the operations that a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indices = args[1] if function in {aten.index.Tensor, aten.index_put_.default} else ()
        if function in WAITS or any(each is not None and each.dtype == torch.bool for each in indices):
            self.asked.append(str(function))
        return function(*args, **(kwargs or {}))


class Steps(lightning.Callback):
    """Watches the steps from the first to the second number, the making of their batches included."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.questions = Questions()

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.steps == self.first:
            self.questions.__enter__()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.steps == self.last:
            self.questions.__exit__(None, None, None)


@pytest.mark.parametrize("decoder_only", [False, True])
@pytest.mark.parametrize("on_gpu", [True, False])
def test_no_step_waits_between_two_looks(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: bool, decoder_only: bool
) -> None:
    """Steps 21 to 38 of 40: the codebooks are in use, the discriminator takes part, nothing is logged."""
    if decoder_only:
        tiny_fit(tiny_recipe(), clips, tmp_path / "start")
    if on_gpu:
        for place in (quantizer, residual, beam, module_file):
            monkeypatch.setattr(place, "runs_ahead", lambda x: True)
    steps = Steps(20, 38)
    quantization = replace(tiny_recipe().training.quantization, replace_every=1000)
    recipe = tiny_recipe(
        max_steps=40,
        data=DataConfig(0.1, 3, on_device=True),
        quantization=quantization,
        frame_losses=FrameLossConfig(),
        decoder_only=decoder_only,
    )
    if decoder_only:
        recipe = with_bottleneck(recipe, replace(recipe.model.bottleneck, beam=4))
    start = tmp_path / "start" / STATE_NAME if decoder_only else None
    tiny_fit(recipe, clips, tmp_path / "run", init_from=start, callbacks=[steps])
    # The second row shows that the test sees what a CPU is asked for.
    assert bool(steps.questions.asked) is not on_gpu, set(steps.questions.asked)


@pytest.mark.parametrize("max_steps", [10, 40])
def test_bad_steps_are_found_at_the_next_look(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, max_steps: int
) -> None:
    """Or at the end, where that comes first; until then they change nothing."""
    monkeypatch.setattr(module_file, "runs_ahead", lambda x: True)
    watch = Watch(spoil(1, 5, 6, 7))
    recipe = tiny_recipe(adversarial=False, max_steps=max_steps)
    with pytest.raises(CodecError, match="3 steps in a row"):
        tiny_fit(recipe, clips, tmp_path, callbacks=[watch])
    assert len(watch.codec) == min(20, max_steps) - (max_steps > 20)
    saved = torch.load(tmp_path / "bad_batch_0.pt", weights_only=True)
    assert saved["step"] == 7
    assert saved["target"].isnan().any()
    assert all(torch.isfinite(weights).all() for weights in watch.codec)
