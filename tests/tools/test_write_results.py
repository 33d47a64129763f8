from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.tools.conftest import ROOT, call_tool, load_tool

OLD = """# Results

An old introduction.

## Rate modes
Kept as it is,

with its trailing sentence.

## Speed
old figures
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("write_results.py")


def test_sections_measured_again_take_their_place_and_others_stay(tool: ModuleType) -> None:
    text = tool.merged(OLD, {"Speed": "new figures\n", "Quality on unseen speakers": "a table\n"})
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Quality on unseen speakers", "## Rate modes", "## Speed"]
    assert "\n## Rate modes\nKept as it is,\n\nwith its trailing sentence.\n\n## Speed\nnew figures\n" in text
    assert "old figures" not in text
    assert "An old introduction" not in text
    assert tool.merged(text, {}) == text


def test_the_readme_gets_the_table_between_its_marks(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, settings = tmp_path / "README.md", tmp_path / "settings.csv"
    readme.write_text("before\n<!-- results -->\n| old |\n<!-- end of results -->\nafter\n", encoding="utf-8")
    settings.write_text(
        "setting,clips,payload_kbps,file_kbps,pesq_wb,pesq_wb_half_width,stoi,stoi_half_width,visqol,dnsmos\n"
        "3 kbit/s,20,2.6612,2.8743,1.8712,0.1049,0.8341,0.0123,2.5,2.25\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(tool, "README", readme)
    tool.update_readme(settings)
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert lines[4] == "| 3 kbit/s | 2.66 | 2.87 | 1.87 ± 0.10 | 0.834 ± 0.012 | 2.50 | 2.25 |"
    assert len(lines) == 7


def test_the_readme_of_this_project_has_the_marks(tool: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- results -->\n") == text.count("<!-- end of results -->\n") == 1


def test_the_results_of_this_project_begin_as_they_are_written_now(tool: ModuleType) -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert text.startswith(tool.INTRODUCTION + "\n")
    assert tool.merged(text, {}) == text


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    result = call_tool("write_results.py", tmp_path, "--only", "beauty")
    assert result.exit_code == 2
    assert "--only takes quality, languages" in result.stderr
