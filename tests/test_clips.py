"""The shipped clips: real, licensed file by file, and the demo's speakers kept out of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "tests" / "data" / "clips"
SMOKE = ROOT / "recipes" / "smoke" / "clips"


def licence_rows(folder: Path) -> dict[str, list[str]]:
    """Speaker, licence and span by file name, from the table of the licence file."""
    lines = (folder / "LICENSE.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in cells if row[0].endswith(".flac")}


@pytest.mark.parametrize("folder", [DEMO, SMOKE], ids=["demo", "smoke"])
def test_every_clip_has_its_licence(folder: Path) -> None:
    rows = licence_rows(folder)
    assert set(rows) == {path.name for path in folder.glob("*.flac")}
    for speaker, licence, span in rows.values():
        assert speaker
        assert licence in ("CC0 1.0", "CC BY 4.0")
        assert " to " in span


@pytest.mark.parametrize("folder", [DEMO, SMOKE], ids=["demo", "smoke"])
def test_clips_are_short_mono_speech(folder: Path) -> None:
    for path in folder.glob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert 2 < info.duration < 6
        start, end = (float(word) for word in licence_rows(folder)[path.name][2].split(" to "))
        assert abs(end - start - info.duration) < 0.011


def test_speakers_of_the_demo_are_not_trained_on() -> None:
    unseen = {row[0] for row in licence_rows(DEMO).values()}
    assert len(unseen) == len(licence_rows(DEMO))
    assert unseen.isdisjoint(row[0] for row in licence_rows(SMOKE).values())


def test_clips_stay_small() -> None:
    for folder, limit in ((DEMO, 0.6e6), (SMOKE, 1.2e6)):
        assert sum(path.stat().st_size for path in folder.iterdir()) < limit
