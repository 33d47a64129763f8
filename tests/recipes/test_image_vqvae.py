"""The image study: reading images, measuring, training, its quick form from end to end."""

from __future__ import annotations

import dataclasses
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.config import Estimator
from codec.errors import CodecError, UsageError
from codec.quantize import ResidualVQ
from recipes.common.records import Records, Results
from recipes.image_vqvae.claims import claims
from recipes.image_vqvae.images import drawn_images, load_images
from recipes.image_vqvae.measure import mean_square_error, measure
from recipes.image_vqvae.network import VqVae
from recipes.image_vqvae.results import Runs
from recipes.image_vqvae.run import HERE, main
from recipes.image_vqvae.study import Setting, read_study, settings, wmops
from recipes.image_vqvae.train import Trainer, pixel_variance

CPU = torch.device("cpu")


def zip_of_images(path: Path, images: dict[str, np.ndarray]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, pixels in images.items():
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, format="PNG")
            archive.writestr(name, stream.getvalue())
    return path


def test_images_come_from_a_zip_and_a_folder(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    names = ["train/cat/1.png", "train/dog/1.png", "test/cat/2.png"]
    path = zip_of_images(tmp_path / "images.zip", dict(zip(names, pixels, strict=True)))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "folder")
    for source in (path, tmp_path / "folder"):
        found = load_images(source)
        assert np.array_equal(found.train.permute(0, 2, 3, 1), pixels[:2])
        assert np.array_equal(found.test.permute(0, 2, 3, 1), pixels[2:])


def test_images_come_from_the_public_binary_layout(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.integers(256, size=(6, 2, 3073), dtype=np.uint8)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, batch in zip(names, rows, strict=True):
        (tmp_path / name).write_bytes(batch.tobytes())
    found = load_images(tmp_path)
    assert np.array_equal(found.train.flatten(1), rows[:5, :, 1:].reshape(10, -1))
    assert np.array_equal(found.test.flatten(1), rows[5, :, 1:])
    (tmp_path / "test_batch.bin").write_bytes(b"12345")
    with pytest.raises(CodecError, match=r"test_batch\.bin is cut off"):
        load_images(tmp_path)


def test_other_data_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04")
    with pytest.raises(CodecError, match="pickled"):
        load_images(tmp_path)
    with pytest.raises(CodecError, match="neither"):
        load_images(tmp_path / "missing")
    small = zip_of_images(tmp_path / "small.zip", {"train/1.png": np.zeros((8, 8, 3), np.uint8)})
    with pytest.raises(CodecError, match="32 x 32"):
        load_images(small)
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("train/1.jpg", b"no image")
    with pytest.raises(CodecError, match=r"train/1\.jpg is no readable image"):
        load_images(tmp_path / "broken.zip")


class Shifted(VqVae):
    """Gives images back brighter by a tenth, and codes 0 and 1 in turn."""

    @torch.no_grad()
    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        codes = torch.arange(64).remainder(2).expand(len(images), 1, 64)
        return images + 0.1, codes


def test_measures_are_those_of_their_formulas() -> None:
    torch.manual_seed(0)
    # Grey levels that the brighter image does not clip.
    images = torch.randint(50, 200, (300, 3, 32, 32), dtype=torch.uint8)
    found = measure(Shifted(ResidualVQ(8, 1, 8), channels=8), images, CPU)
    assert found["mse"] == pytest.approx(0.01, rel=1e-4)
    assert mean_square_error(Shifted(ResidualVQ(8, 1, 8), channels=8), images, CPU) == pytest.approx(
        found["mse"]
    )
    assert found["psnr"] == pytest.approx(20.0, abs=1e-3)
    assert found["perplexity"] == pytest.approx(2.0)
    assert found["unused"] == pytest.approx(6 / 8)
    # Of constant images SSIM is its luminance term.
    flat = torch.full((2, 3, 32, 32), 102, dtype=torch.uint8)
    ssim = (2 * 0.4 * 0.5 + 1e-4) / (0.4**2 + 0.5**2 + 1e-4)
    assert measure(Shifted(ResidualVQ(8, 1, 8), channels=8), flat, CPU)["ssim"] == pytest.approx(
        ssim, abs=1e-4
    )


def test_the_pixel_variance_is_that_of_floats() -> None:
    torch.manual_seed(0)
    images = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)
    assert pixel_variance(images) == pytest.approx(float((images / 255).var(correction=0)), rel=1e-4)


def test_training_output_and_hard_rule_agree_for_straight_through() -> None:
    torch.manual_seed(0)
    model = VqVae(ResidualVQ(8, 1, 16, estimator="ste"), channels=16, residual_channels=4)
    images = torch.rand(4, 3, 32, 32) - 0.5
    trained, found = model(images)
    coded, codes = model.code(images)
    assert trained.shape == images.shape
    assert torch.equal(codes, found.codes)
    assert torch.allclose(trained, coded, atol=1e-5)


def test_runs_of_one_seed_differ_in_what_is_compared_alone() -> None:
    study = read_study(HERE / "config.yaml")
    images = drawn_images(train=32, test=8)

    def start(setting: Setting) -> Trainer:
        return Trainer(setting, study, study.quick.training, images, CPU, bf16=False)

    first = start(Setting("plain", 8, "nsvq", True, "uniform", 1))
    for other in ("ste", "ema"):
        second = start(Setting("plain", 8, other, False, "uniform", 1))  # type: ignore[arg-type]
        mine, theirs = dict(first.model.named_parameters()), dict(second.model.named_parameters())
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    different = start(Setting("plain", 8, "nsvq", True, "uniform", 2))
    assert not torch.equal(first.model.encoder[0].weight, different.model.encoder[0].weight)


@pytest.mark.parametrize("start", ["uniform", "kmeans"])
def test_training_lowers_the_error(start: str) -> None:
    study = read_study(HERE / "config.yaml")
    training = dataclasses.replace(study.quick.training, updates=90, curve_every=30, warm_updates=30)
    setting = Setting("plain", 4, "nsvq", True, start, 0)  # type: ignore[arg-type]
    points = Trainer(setting, study, training, drawn_images(64, 16), CPU, bf16=False).run()
    assert [point["updates"] for point in points] == [30, 60, 90]
    assert points[-1]["train_error"] < 0.8 * points[0]["train_error"]
    # A warm start has no codes yet.
    assert ("test_error" in points[0]) == (start == "uniform")
    assert 1 <= points[-1]["perplexity"] <= 16


def test_every_size_names_each_run_once_and_the_seeds_it_states() -> None:
    study = read_study(HERE / "config.yaml")
    for size in (study.quick, study.reduced, study.full):
        runs = settings(size)
        assert len(set(runs)) == len(runs)
        banded = [run.seed for run in runs if run == Setting("plain", 8, "nsvq", True, "uniform", run.seed)]
        if 8 in size.banded_bits:
            assert banded == list(range(size.seeds))


def test_the_complexity_is_the_published_one() -> None:
    study = read_study(HERE / "config.yaml")
    # ICASSP 2023, figure 4c: log10 of WMOPS at 40 bit.
    for kind, published in (("additive", 1.3645), ("residual", -0.2267), ("product", -0.8219)):
        cost = wmops(Setting(kind, 40, "nsvq", True, "uniform", 0), study, "paper")  # type: ignore[arg-type]
        assert math.log10(cost) == pytest.approx(published, abs=1e-4)


def test_the_quick_study_runs_resumes_and_reports(tmp_path: Path) -> None:
    main(quick=True, runs=tmp_path)
    path = tmp_path / "quick.jsonl"
    lines = path.read_bytes().split(b"\n")
    assert len(Records(path)) == len(settings(read_study(HERE / "config.yaml").quick))
    path.write_bytes(b"\n".join(lines[:-2]) + b"\n")
    main(quick=True, runs=tmp_path)
    assert path.read_bytes().split(b"\n")[:-2] == lines[:-2]
    assert len(Records(path)) == len(lines) - 1
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "### Four codebooks" in text
    for name in ("single.png", "curves.png", "four.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_a_report_without_runs_says_so_and_shows_nothing(tmp_path: Path) -> None:
    main(quick=True, report=True, runs=tmp_path)
    assert "No run of this size is finished yet." in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def made_up(
    name: Estimator, seed: int, psnr: float, bits: int = 8
) -> tuple[Setting, dict[int, dict[str, Any]]]:
    """A finished run whose test error falls to that of its Peak SNR."""
    error = 10 ** (-psnr / 10)
    curve = [{"updates": at, "test_error": error * (1 + 10 / at)} for at in (500, 1000, 1500)]
    found = {"psnr": psnr, "ssim": psnr / 40, "unused": 0.01 * seed, "perplexity": 100 * psnr, "curve": curve}
    return Setting("plain", bits, name, True, "uniform", 0), {seed: found}


def test_claims_need_an_interval_and_may_fail() -> None:
    study = read_study(HERE / "config.yaml")
    size = dataclasses.replace(study.reduced, single_bits=(8,), banded_bits=(8,))

    def found(ours: list[float], theirs: list[float]) -> str:
        results: Results[Setting] = {}
        for name, values in (("nsvq", ours), ("ste", theirs)):
            for seed, psnr in enumerate(values):
                setting, run = made_up(name, seed, psnr)  # type: ignore[arg-type]
                results[setting] = {**results.get(setting, {}), **run}  # type: ignore[index]
        return claims(study, size, Runs(results))

    one = found([21.0], [20.0])
    assert "| NSVQ above STE at 8 bit, both with replacement | 1.00 dB, SSIM 0.025 | not decided" in one
    assert "earlier, 8 bit | after 500 of 1500 updates | not decided |" in one
    better = found([21.0, 21.02, 21.01], [20.0, 20.0, 20.03])
    assert "both with replacement | 1.00 ± 0.05 dB, SSIM 0.025 ± 0.001 | holds, SSIM holds |" in better
    assert "earlier, 8 bit | after 500, 500, 500 of 1500 updates | holds |" in better
    assert "(under 5 %) of NSVQ with replacement, 8 bit | 1.0 ± 2.5 % | holds |" in better
    assert "| higher perplexity, 8 bit: NSVQ with, STE with replacement | 100 ± 5 | holds |" in better
    worse = found([20.0, 20.0, 20.03], [21.0, 21.02, 21.01])
    assert "| does not hold, SSIM does not hold |" in worse
    assert "earlier, 8 bit | after never, never, never of 1500 updates | does not hold |" in worse
    assert "STE (with replacement), 8 bit | 0.017 against 0.010 dB, 0.58 times (0.092 to 3.6) | not" in worse
    assert "| 0.100 against 10.000 dB, 100 times (16 to 620) | holds |" in found([1, 1.1, 0.9], [0, 10, -10])
    assert "dB, 0.01 times (0.0016 to 0.062) | does not hold |" in found([0, 10, -10], [1, 1.1, 0.9])


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ([20.0, 20.1, 20.2], [21.0, 21.1, 21.3], "holds"),
        ([21.0, 21.1, 21.3], [20.0, 20.1, 20.2], "does not hold"),
        ([20.0, 22.0, 20.0], [20.5, 20.5, 20.5], "not decided"),
        ([20.0], [21.0], "not decided"),
        ([20.0], [], "not run"),
    ],
)
def test_to_rise_with_bits_every_step_needs_an_interval(
    first: list[float], second: list[float], answer: str
) -> None:
    study = read_study(HERE / "config.yaml")
    size = dataclasses.replace(study.reduced, single_bits=(7, 8), banded_bits=(8,))
    results: Results[Setting] = {}
    for bits, values in ((7, first), (8, second)):
        for seed, psnr in enumerate(values):
            setting, run = made_up("nsvq", seed, psnr, bits)
            results[setting] = {**results.get(setting, {}), **run}  # type: ignore[index]
    lines = claims(study, size, Runs(results)).splitlines()
    rising = next(line for line in lines if line.startswith("| NSVQ with replacement strictly rising"))
    assert rising.endswith(f"| {answer} |")


def test_data_is_asked_for() -> None:
    with pytest.raises(UsageError, match="--data"):
        main()
    with pytest.raises(UsageError, match="exclude"):
        main(quick=True, full=True)
