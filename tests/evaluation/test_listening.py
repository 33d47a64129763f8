from __future__ import annotations

import html.parser
import time
from pathlib import Path

import pytest

from codec.evaluation.evaluate import Clip, Setting, round_trip
from codec.evaluation.facts import ModelFacts
from codec.evaluation.listening import listening_page
from tests.evaluation.chromium import Chromium
from tests.evaluation.conftest import SAMPLE_RATE, syllables
from tests.evaluation.dct_codec import DctCodec

HOSTILE = [
    "</h2><script>window.harmed = 1</script>",
    "\" onfocus='window.harmed = 1' autofocus x=\"",
    "<img src=x onerror='window.harmed = 1'>{{ 7 * 7 }}",
]
PLAY_SECONDS = 20.0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("librosa")
    pytest.importorskip("matplotlib")
    model = ModelFacts("model <b>&", "0123456789abcdef", 17_600_000, SAMPLE_RATE, 40.0)
    clips = [Clip(name, syllables(3.0), SAMPLE_RATE) for name in ["speech", *HOSTILE]]
    settings = [Setting(bitrate=rate) for rate in (1.5, 3, 6)]
    trips = [round_trip(DctCodec(), clip, setting, ["si_sdr"]) for setting in settings for clip in clips]
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(
        listening_page(model, trips, ["si_sdr", "pesq_wb"], "Clips: <i>CC0</i>"), encoding="utf-8"
    )
    return path


class Elements(html.parser.HTMLParser):
    """Collects the tags with their attributes and the text outside script and style."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


def test_the_page_is_one_file_that_refers_to_nothing_outside(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8"))
    links = [attrs[key] for _, attrs in elements.tags for key in ("src", "href", "srcset") if key in attrs]
    # A picture and a sound for the original and each of three rates, for each of four clips.
    assert len(links) == 4 * 4 * 2
    assert all(link is not None and link.startswith("data:") for link in links)
    assert "url(" not in page.read_text(encoding="utf-8")


def test_hostile_names_stay_text(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8"))
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert not any(key.startswith("on") for _, attrs in elements.tags for key in attrs)
    for name in [*HOSTILE, "model <b>&", "Clips: <i>CC0</i>"]:
        assert name in elements.text


def test_every_version_has_its_figures(page: Path) -> None:
    text = " ".join(Elements(page.read_text(encoding="utf-8")).text.split())
    assert "17.6 M" in text
    assert "40 ms" in text
    assert "0123456789abcdef" in text
    # Three rates and PESQ not measured: a dash under each.
    assert text.count("PESQ-WB-") == 4 * 3


def wait_until(browser: Chromium, condition: str) -> None:
    """Poll the page until a JavaScript condition holds, or fail."""
    deadline = time.monotonic() + PLAY_SECONDS
    while not browser.run(condition):
        assert time.monotonic() < deadline, f"never came true in the browser: {condition}"
        time.sleep(0.05)


def test_a_browser_plays_every_version(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    for index in range(4):
        browser.run(f"document.querySelectorAll('.play')[{index}].click()")
        wait_until(browser, f"document.querySelectorAll('audio')[{index}].currentTime > 0.05")
        assert (
            browser.run("[...document.querySelectorAll('audio')].filter(audio => !audio.paused).length") == 1
        )
    durations = browser.run("[...document.querySelectorAll('audio')].map(audio => audio.duration)")
    assert durations == pytest.approx([3.0] * 16, abs=1e-3)


def test_switching_versions_keeps_the_position(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.run("document.querySelectorAll('.play')[0].click()")
    wait_until(browser, "document.querySelectorAll('audio')[0].currentTime > 0.5")
    browser.press("3")
    wait_until(browser, "!document.querySelectorAll('audio')[2].paused")
    assert browser.run("document.querySelectorAll('audio')[0].paused")
    assert browser.run("document.querySelectorAll('audio')[2].currentTime") > 0.5


def test_the_keyboard_alone_plays_and_seeks(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.press("Tab")
    assert "Position in speech, Original" in browser.run("document.activeElement.getAttribute('aria-label')")
    browser.press("ArrowRight")
    browser.press("Tab")
    assert browser.run("document.activeElement.getAttribute('aria-label')") == "Play speech, Original"
    browser.press("Enter")
    wait_until(browser, "document.querySelectorAll('audio')[0].currentTime > 0.05")
    assert browser.run("document.activeElement.getAttribute('aria-label')") == "Pause speech, Original"
    browser.press("Enter")
    wait_until(browser, "document.querySelectorAll('audio')[0].paused")


def test_hostile_names_do_nothing_in_a_browser(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    assert browser.run("typeof window.harmed") == "undefined"
    headings = browser.run("[...document.querySelectorAll('.clip h2')].map(h => h.firstChild.data.trim())")
    assert headings == ["speech", *HOSTILE]


def test_the_security_policy_runs_no_other_script(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'harmed = 1'}))")
    assert browser.run("typeof window.harmed") == "undefined"


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_the_page_fits_the_window(page: Path, browser: Chromium, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    try:
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= width
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")
