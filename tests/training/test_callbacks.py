"""What a training shows: in TensorBoard, in its log, and in its bar."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.api import Codec
from codec.evaluation.metrics import METRICS
from codec.training import validation
from codec.training.state import STATE_NAME, averaged_model, read_state
from tests.small_model import small_model
from tests.training.tiny import MODEL, tiny_fit, tiny_recipe

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A finished training with validation on one clip, that of index 1."""
    folder = tmp_path_factory.mktemp("run")
    tiny_fit(tiny_recipe(), clips, folder, valid=[clips])
    return folder


@pytest.fixture(scope="module")
def board(run: Path) -> object:
    board = event_accumulator.EventAccumulator(
        str(run), size_guidance={"scalars": 0, "images": 0, "audio": 0}
    )
    board.Reload()
    return board


def test_tensorboard_gets_losses_bitrate_and_codebooks(board: object) -> None:
    scalars = set(board.Tags()["scalars"])  # type: ignore[attr-defined]
    assert {
        f"loss/{name}" for name in ("waveform", "mel", "complex", "total", "adversarial", "feature")
    } <= scalars
    assert {"loss/discriminator", "train/kbps", "train/gradient_norm", "train/learning_rate"} <= scalars
    for codebook in (1, 2, 3):
        assert {f"perplexity/codebook_{codebook:02d}", f"usage/codebook_{codebook:02d}"} <= scalars
    # Steps 5, 8 and 11 may replace words, and counts are complete just before; in step 2 there are none yet.
    perplexities = board.Scalars("perplexity/codebook_01")  # type: ignore[attr-defined]
    assert [event.step for event in perplexities] == [5, 8, 11]
    assert all(1.0 < event.value <= MODEL.bottleneck.codebook_size for event in perplexities)
    used = board.Scalars("usage/codebook_01")  # type: ignore[attr-defined]
    assert all(0.0 < event.value <= 1.0 for event in used)


def test_tensorboard_gets_sound_and_spectrograms(board: object) -> None:
    tags = board.Tags()  # type: ignore[attr-defined]
    assert set(tags["audio"]) == set(tags["images"]) == {"clip0.flac/original", "clip0.flac/decoded"}
    steps = {tag: [event.step for event in board.Audio(tag)] for tag in tags["audio"]}  # type: ignore[attr-defined]
    assert steps == {"clip0.flac/original": [5], "clip0.flac/decoded": [5, 10, 14]}
    picture = board.Images("clip0.flac/decoded")[0]  # type: ignore[attr-defined]
    assert picture.height == 128
    assert picture.width > 100


def test_validation_measures_the_averaged_weights_at_each_number_of_codebooks(
    board: object, run: Path, clips: Path
) -> None:
    """9 codebooks are asked for, the model has 3."""
    model = averaged_model(read_state(run / STATE_NAME), MODEL)
    originals = [clip.audio for clip in validation.load_clips([clips], MODEL.sample_rate)]
    assert len(originals) == 3
    for count in (1, 3):
        decoded = [validation.reconstruct(model, audio, count) for audio in originals]
        for name, expected in validation.mean_scores(
            originals, decoded, 16_000, ["si_sdr", "pesq_wb"]
        ).items():
            events = board.Scalars(f"validation/{name}_at_{count:02d}")  # type: ignore[attr-defined]
            assert [event.step for event in events] == [5, 10, 14]
            assert events[-1].value == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_measured_is_said_once(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missing = {"pesq_wb", "matplotlib"}
    monkeypatch.setattr(validation, "available", lambda name: name not in missing)
    with caplog.at_level(logging.INFO):
        tiny_fit(tiny_recipe(), clips, tmp_path, valid=[clips])
    said = [record.getMessage() for record in caplog.records if record.name.startswith("codec.")]
    assert sum("pesq_wb" in line for line in said) == 1
    assert sum("matplotlib" in line for line in said) == 1
    assert sum("si_sdr" in line and "3 codebooks" in line for line in said) == 3


def test_means_leave_out_clips_without_a_value_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    sound = rng.standard_normal(16_000).astype(np.float32) * 0.1
    silence = np.zeros(16_000, np.float32)
    noisy = sound + 0.01 * rng.standard_normal(16_000).astype(np.float32)
    alone = METRICS["si_sdr"](sound, noisy, 16_000).value
    assert validation.mean_scores([sound, silence], [noisy, sound], 16_000, ["si_sdr"]) == {"si_sdr": alone}
    assert "si_sdr is left out for 1 of 2: 1 x " in caplog.text
    assert validation.mean_scores([silence], [sound], 16_000, ["si_sdr"]) == {}


@pytest.mark.parametrize("samples", [1, 319, 320, 5000])
def test_validation_hears_what_users_hear(samples: int) -> None:
    """The one pass of validation gives what a file gives: as long as before, and aligned with it."""
    model = small_model()
    audio = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples)).numpy()
    decoded, _ = Codec(model).decode(Codec(model).encode(audio, 16_000, num_codebooks=3))
    assert np.allclose(validation.reconstruct(model, audio, 3), decoded, atol=1e-4)


def test_the_bar_counts_the_steps_of_the_whole_training(
    tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from codec.training.fit import fit

    fit(tiny_recipe(max_steps=4), [clips], tmp_path, device="cpu", progress=True)
    fit(tiny_recipe(max_steps=6), [clips], tmp_path, device="cpu", progress=True, resume=True)
    out, err = capsys.readouterr()
    assert "4/4" in err
    assert "4/6" in err
    assert "6/6" in err
    assert "training" not in out
