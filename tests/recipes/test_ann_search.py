"""The study on nearest-neighbour search: its files, its recall, its command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codec.errors import CodecError, UsageError
from recipes.ann_search.report import write_report
from recipes.ann_search.run import HERE, main
from recipes.ann_search.study import DEPTHS, Setting, read_published, read_study, settings
from recipes.ann_search.train import run
from recipes.ann_search.vecs import make_search_set, ranks_of_nearest, read_search_set, read_vecs


def write_vecs(path: Path, vectors: NDArray[np.generic]) -> None:
    """Write vectors ``[N, D]`` in the public layout."""
    with path.open("wb") as file:
        for vector in vectors:
            file.write(np.int32(len(vector)).tobytes() + vector.tobytes())


def write_set(folder: Path, prefix: str = "sift_", suffix: str = ".fvecs") -> None:
    numbers = np.float32 if suffix == ".fvecs" else np.uint8
    random = np.random.default_rng(0)
    for part, count in (("learn", 50), ("base", 40), ("query", 6)):
        values = random.integers(0, 200, (count, 8)).astype(numbers)
        write_vecs(folder / f"{prefix}{part}{suffix}", values)
    write_vecs(folder / f"{prefix}groundtruth.ivecs", random.integers(0, 40, (6, 3)).astype(np.int32))


@pytest.mark.parametrize("suffix", [".fvecs", ".bvecs"])
def test_a_set_is_read_in_both_public_layouts(tmp_path: Path, suffix: str) -> None:
    write_set(tmp_path, suffix=suffix)
    found = read_search_set(tmp_path)
    assert found.learn.shape == (50, 8)
    assert found.base.dtype == torch.float32
    values = np.random.default_rng(0).integers(0, 200, (50, 8))
    np.testing.assert_array_equal(found.learn.numpy(), values)
    assert found.nearest.shape == (6,)


def test_bad_sets_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="holds 0"):
        read_search_set(tmp_path)
    write_set(tmp_path)
    learn = tmp_path / "sift_learn.fvecs"
    whole = learn.read_bytes()
    for damaged in (whole[:-1], b"", whole[:36] + b"\x07" + whole[37:], b"\xff" * 36):
        learn.write_bytes(damaged)
        with pytest.raises(CodecError, match=r"sift_learn\.fvecs"):
            read_search_set(tmp_path)
    learn.write_bytes(whole)
    write_vecs(tmp_path / "sift_groundtruth.ivecs", np.full((6, 3), 40, np.int32))
    with pytest.raises(CodecError, match="does not tell the neighbours"):
        read_search_set(tmp_path)
    write_vecs(tmp_path / "other_learn.fvecs", np.zeros((2, 8), np.float32))
    with pytest.raises(CodecError, match="holds 2"):
        read_search_set(tmp_path)
    with pytest.raises(CodecError, match="must end with"):
        read_vecs(tmp_path / "learn.npy")


def test_ranks_count_what_comes_before_the_true_neighbour() -> None:
    generator = torch.Generator().manual_seed(0)
    # Coarse values, so that many distances are equal.
    decoded = torch.randint(-2, 3, (300, 4), generator=generator).float()
    query = torch.randint(-2, 3, (100, 4), generator=generator).float()
    nearest = torch.randint(300, (100,), generator=generator)
    found = ranks_of_nearest(decoded, query, nearest)
    for row in range(100):
        distances = (decoded - query[row]).square().sum(dim=1)
        order = distances.argsort(stable=True).tolist()
        assert order.index(int(nearest[row])) == int(found[row])


def test_uncoded_vectors_have_full_recall() -> None:
    made = make_search_set(learn=10, base=500, query=50, dim=16, seed=0)
    assert (ranks_of_nearest(made.base, made.query, made.nearest) == 0).all()


def test_every_run_comes_once_and_the_first_seed_first() -> None:
    size = read_study(HERE / "config.yaml").reduced
    found = settings(size)
    assert len(set(found)) == len(found)
    assert [each.seed for each in found] == sorted(each.seed for each in found)


def test_the_quick_study_runs_without_data_and_takes_up_its_codebooks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss", reason="of the extra recipes")
    pytest.importorskip("matplotlib", reason="of the extra recipes")
    main(quick=True, runs=tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| residual, k-means |" in text
    assert "published, SIFT1M" in text
    assert (tmp_path / "recall.png").stat().st_size > 10_000
    runs = tmp_path / "quick.jsonl"
    finished = [json.loads(line) for line in runs.read_text().splitlines()]
    wide = [each for each in finished if each["setting"]["method"] == "additive_polished"]
    assert len(wide) == 1
    # Searched again with the codebooks that are there, to the same recall.
    runs.write_text("".join(json.dumps(each) + "\n" for each in finished if each not in wide))
    capsys.readouterr()
    main(quick=True, runs=tmp_path)
    assert capsys.readouterr().err.count("Setting(") == 1
    again = json.loads(runs.read_text().splitlines()[-1])
    assert again["setting"] == wide[0]["setting"]
    assert again["result"]["recall"] == wide[0]["result"]["recall"]
    assert "train_seconds" not in again["result"]


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        main(runs=tmp_path)
    with pytest.raises(CodecError, match="learn"):
        main(data=tmp_path, runs=tmp_path)


def test_the_words_of_lsq_are_searched_as_ours(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="of the extra recipes")
    study = read_study(HERE / "config.yaml")
    made, words = make_search_set(learn=600, base=200, query=20, dim=8, seed=0), tmp_path / "lsq"
    errors = {}
    for method in ("lsq", "lsq_searched"):
        found = run(Setting(2, 8, method, 0), study, study.quick, made, words)  # type: ignore[arg-type]
        errors[method] = found["error"]
        # The second takes the words that the first has left.
        assert ("train_seconds" in found) == (method == "lsq")
    assert errors["lsq_searched"] <= errors["lsq"] * (1 + 1e-6)
    words.unlink()
    assert "train_seconds" in run(Setting(2, 8, "lsq_searched", 0), study, study.quick, made, words)


def test_a_report_of_single_runs_decides_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="of the extra recipes")
    study = read_study(HERE / "config.yaml")
    vectors = make_search_set(learn=10, base=20, query=5, dim=8, seed=0)
    recall = {str(depth): min(1.0, 0.1 * number) for number, depth in enumerate(DEPTHS)}
    found = {"recall": recall, "error": 0.5, "encode_us": 1.0}
    results = {(8, 64, "residual"): {0: found}}
    write_report(study, study.reduced, vectors, results, 9, read_published(HERE / "published.json"), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "9 runs of this size are not finished yet." in text
    assert "Too few runs are finished" in text
    better = {**found, "recall": {depth: value + 0.01 for depth, value in recall.items()}}
    results[8, 64, "additive"] = {0: better}
    write_report(study, study.reduced, vectors, results, 8, read_published(HERE / "published.json"), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| additive, beam 16 above residual | 1.0 |" in text
    assert "not decided" in text
    assert "| holds" not in text
