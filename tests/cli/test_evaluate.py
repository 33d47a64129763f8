from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Run
from tests.evaluation.conftest import SAMPLE_RATE, syllables


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    stereo = np.stack([syllables(2.2, 22_050), syllables(2.2, 22_050, pitch=180.0)], axis=1)
    soundfile.write(folder / "a.flac", syllables(2.5), SAMPLE_RATE)
    soundfile.write(folder / "b <i>.flac", stereo, 22_050)
    soundfile.write(folder / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    return folder


@pytest.fixture(autouse=True)
def _packages() -> None:
    for package in ("scipy", "jinja2", "matplotlib", "librosa"):
        pytest.importorskip(package)


def test_results_go_to_the_terminal_and_to_files(run: Run, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    settings = ["--bitrates", "1.5", "--modes", "cbr,abr,vbr", "--qualities", "4", "--codebooks", "2"]
    more = ["--peers", "lyra", "--metrics", "si_sdr,log_mel_distance", "--split", "1", "--out", str(out)]
    result = run("evaluate", "small", clips, *settings, *more, "--jobs", "1")
    assert result.code == 0, result.stderr
    assert "warning: lyra is not measured" in result.stderr
    labels = ["1.5 kbit/s", "abr 1.5 kbit/s", "vbr quality 4", "2 codebooks"]
    for label in labels:
        assert (
            f"{label}: SI-SDR dB leaves out 1 of 3 clips (the original is silent)" in result.stdout.decode()
        )

    assert sorted(path.name for path in out.iterdir()) == [
        "clips.csv",
        "index.html",
        "quality.png",
        "report.md",
        "settings.csv",
    ]
    with (out / "settings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["setting"] for row in rows] == labels
    assert [row["si_sdr_clips"] for row in rows] == ["2"] * 4
    # Two codebooks of 0.35 kbit/s a channel, over 5.7 s of which 2.2 are stereo.
    assert float(rows[3]["payload_kbps"]) == pytest.approx(0.7 * 7.9 / 5.7, rel=0.1)
    text = (out / "report.md").read_text(encoding="utf-8")
    assert [name in text for name in ("All 3 clips:", "The first 1:", "The other 2:")] == [True] * 3
    assert "\nNot in these tables:\n\n- lyra is not measured: " in text
    assert (out / "quality.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "b &lt;i&gt;" in page
    # The page has clips from two seconds on.
    assert "silent" not in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bitrates", "six"], "--bitrates takes numbers with commas between them, not 'six'"),
        (["--bitrates", ""], "nothing to measure"),
        (["--modes", "best"], "--modes takes cbr, abr, vbr"),
        (["--metrics", "loudness"], "'loudness' is no metric"),
        (["--peers", "wax"], "'wax' is no peer"),
        (["--page-settings", "opus 7 kbit/s"], "'opus 7 kbit/s', which is not measured"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], sentence: str, run: Run, clips: Path) -> None:
    result = run("evaluate", "small", clips, "--peers", "", "--metrics", "stoi", *arguments)
    assert result.code == 2
    assert sentence in result.error


def test_an_unreadable_clip_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fake.wav").write_text("no audio")
    result = run("evaluate", "small", tmp_path, "--peers", "", "--metrics", "si_sdr")
    assert result.code == 1
    assert "fake.wav is not readable as audio" in result.error
