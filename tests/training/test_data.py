"""The data module: batches for Lightning, a position that survives a checkpoint, no validation speakers."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from codec.config import from_mapping
from codec.errors import CodecError
from codec.training.data import AudioDataModule, DataConfig
from codec.training.segments import SegmentBatch
from codec.training.sources import Source
from tests.training.sounds import RATE, noise_samples, write, write_folder

CONFIG = DataConfig(segment_seconds=0.1, batch_size=3)


class Recorder(lightning.LightningModule):
    """Trains nothing; keeps what it was given and counts it, as a training module does."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.inputs: list[torch.Tensor] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: SegmentBatch, batch_idx: int) -> None:
        self.inputs.append(batch.input)
        optimizer: Any = self.optimizers()
        optimizer.step()
        self.trainer.datamodule.batches_seen += 1  # type: ignore[attr-defined]


def _fit(folder: Path, steps: int, config: DataConfig, resume: Path | None = None) -> lightning.Trainer:
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = AudioDataModule(config, RATE, [folder], seed=9)
    trainer.fit(Recorder(), datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_training_sees_what_a_whole_one_sees(tmp_path: Path, workers: int) -> None:
    folder = write_folder(tmp_path / "clips")
    config = DataConfig(segment_seconds=0.1, batch_size=3, workers=workers)
    whole = _fit(folder, 7, config).lightning_module.inputs
    first = _fit(folder, 4, config)
    first.save_checkpoint(tmp_path / "last.ckpt")
    second = _fit(folder, 7, config, resume=tmp_path / "last.ckpt")
    assert second.datamodule.batches_seen == 7
    seen = [*first.lightning_module.inputs, *second.lightning_module.inputs]
    assert torch.equal(torch.stack(seen), torch.stack(whole))


def test_a_new_batch_size_goes_on_behind_what_was_seen(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    before = AudioDataModule(CONFIG, RATE, [folder])
    before.batches_seen = 5
    after = AudioDataModule(DataConfig(segment_seconds=0.1, batch_size=4), RATE, [folder])
    after.load_state_dict(before.state_dict())
    (batch,) = islice(after.train_dataloader(), 1)
    assert after.batches_seen == 4
    assert torch.equal(batch.input, after.dataset.batch(16, 4).input)


def test_segments_are_whole_hops(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    data = AudioDataModule(DataConfig(segment_seconds=0.099), RATE, [folder], segment_multiple=320)
    data.setup()
    (batch,) = islice(data.train_dataloader(), 1)
    assert data.segment_samples == 1600
    assert batch.input.shape == (16, 1600)


def test_sources_are_joined_and_noise_is_used(tmp_path: Path) -> None:
    for name in ("a", "b", "noise"):
        write_folder(tmp_path / name, (20_000,))
    sources = [Source(tmp_path / "a"), f"{tmp_path / 'b'},weight=3"]
    config = from_mapping(DataConfig, {"augment": {"noise_probability": 1.0}}, "config.yaml")
    data = AudioDataModule(config, RATE, sources, noise=[tmp_path / "noise"])
    data.setup()
    assert [clip.weight for clip in data.dataset.store.clips] == [1.0, 3.0]
    plain = AudioDataModule(config, RATE, sources)
    assert not torch.equal(data.dataset.batch(0, 1).input, plain.dataset.batch(0, 1).input)


def test_the_memory_budget_is_shared_by_clips_and_noise(tmp_path: Path) -> None:
    for name in ("clips", "noise"):
        write_folder(tmp_path / name, (300_000,))
    data = AudioDataModule(DataConfig(cache_mb=1), RATE, [tmp_path / "clips"], noise=[tmp_path / "noise"])
    noise = data.dataset.noise
    assert noise is not None
    assert (noise.cached_bytes, data.dataset.store.cached_bytes) == (600_000, 0)


def test_data_needs_no_optional_package(tmp_path: Path) -> None:
    """A rented machine often has torch, lightning and soundfile, and no network to fetch more."""
    program = (
        "import sys\n"
        "import lightning  # which itself takes some of these where they are installed\n"
        "for name in ('torchaudio', 'librosa', 'scipy', 'matplotlib', 'pesq', 'tensorboard'):\n"
        "    sys.modules[name] = None\n"
        "from codec.training.data import AudioDataModule, DataConfig\n"
        "data = AudioDataModule(DataConfig(), 16_000, [sys.argv[1]])\n"
        "print(next(iter(data.train_dataloader())).input.shape)\n"
    )
    command = [sys.executable, "-c", program, str(write_folder(tmp_path))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "[16, 16000]" in result.stdout, result.stderr


def test_validation_speakers_are_left_out_of_plain_folders(tmp_path: Path) -> None:
    for name in ("19-198-0000.flac", "x/446_123501_000001_000002.wav", "20-198-0000.flac", "19.flac"):
        write(tmp_path / name, noise_samples(0, 8000))
    data = AudioDataModule(CONFIG, RATE, [tmp_path])
    assert [clip.name for clip in data.dataset.store.clips] == ["19.flac", "20-198-0000.flac"]


def test_a_folder_of_validation_speakers_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path / "2836-5354-0000.flac", noise_samples(0, 8000))
    with pytest.raises(CodecError, match=r"all 1 clips .* validation speakers"):
        _ = AudioDataModule(DataConfig(), RATE, [tmp_path]).dataset


@pytest.mark.parametrize(
    "mapping",
    [{"segment_seconds": 0.0}, {"batch_size": 0}, {"workers": -1}, {"cache_mb": -1}, {"batchsize": 3}],
)
def test_wrong_settings_are_one_sentence(mapping: dict[str, object]) -> None:
    with pytest.raises(CodecError, match=r"config\.yaml"):
        from_mapping(DataConfig, mapping, "config.yaml")
