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
PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "listen.html"


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
    assert browser.run("document.activeElement.textContent") == "Start a blind test"
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


def test_a_blind_test_hides_what_is_what_until_all_is_rated(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.run("document.querySelector('.test button').click()")
    clip = "document.querySelector('.clip')"
    headings = f"[...{clip}.querySelectorAll('h3')].map(h => h.textContent)"
    assert browser.run(headings) == ["Reference", "A", "B", "C", "D"]
    shown = browser.run(
        f"{clip}.innerText + [...{clip}.querySelectorAll('button, input')].map(e => e.ariaLabel)"
    )
    assert "kbit/s" not in shown
    assert "Original" not in shown
    assert browser.run(f"getComputedStyle({clip}.querySelector('.rated img')).display") == "none"

    browser.run("document.querySelectorAll('.test button')[1].click()")
    assert browser.run("document.querySelector('.status').textContent") == "16 versions are not rated yet."
    browser.press("3")
    wait_until(browser, f"!{clip}.querySelectorAll('audio')[2].paused")
    browser.press("+")
    assert browser.run(f"[...{clip}.querySelectorAll('output')].map(o => o.textContent)")[:2] == [
        "not rated",
        "55",
    ]
    browser.press("n")
    wait_until(browser, "!document.querySelectorAll('.clip')[1].querySelector('audio').paused")


def test_the_result_of_a_blind_test_is_sorted_by_rating(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    # What the listener cannot see the test can: the sound tells the version.
    browser.run("""
        known = new Map([...document.querySelectorAll('.version')].map(version =>
            [version.querySelector('audio').src, version.querySelector('h3').textContent]));
        document.querySelector('.test button').click();
        for (const version of document.querySelectorAll('.rated')) {
            const input = version.querySelector('.rating input');
            const name = known.get(version.querySelector('audio').src);
            input.value = {'Original': 100, '6 kbit/s': 70, '3 kbit/s': 50, '1.5 kbit/s': 20}[name];
            input.dispatchEvent(new Event('input'));
        }
        document.querySelectorAll('.test button')[1].click()""")
    rows = browser.run("[...document.querySelectorAll('.outcome tbody tr')].map(row => row.innerText)")
    assert [row.split("\t") for row in rows] == [
        ["Hidden original", "100.0", "100, 100, 100, 100"],
        ["6 kbit/s", "70.0", "70, 70, 70, 70"],
        ["3 kbit/s", "50.0", "50, 50, 50, 50"],
        ["1.5 kbit/s", "20.0", "20, 20, 20, 20"],
    ]
    saved = browser.run("decodeURIComponent(document.querySelector('.outcome a').href)")
    assert saved.count("\n") == 16
    assert '"speech","3 kbit/s",50' in saved
    assert sorted(
        heading.partition(": ")[2]
        for heading in browser.run(
            "[...document.querySelectorAll('.clip')[0].querySelectorAll('.rated h3')].map(h => h.textContent)"
        )
    ) == ["1.5 kbit/s", "3 kbit/s", "6 kbit/s", "Hidden original"]
    assert browser.run("typeof window.harmed") == "undefined"


def test_a_blind_test_comes_in_another_order_each_time(page: Path, browser: Chromium) -> None:
    orders = set()
    for _ in range(4):
        browser.open(page.as_uri())
        browser.run("document.querySelector('.test button').click()")
        order = browser.run("[...document.querySelectorAll('.rated audio')].map(audio => audio.src.length)")
        orders.add(tuple(order))
    # Four clips of four versions: two equal orders are one chance in 331,776.
    assert len(orders) > 1


def test_hostile_names_do_nothing_in_a_browser(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    assert browser.run("typeof window.harmed") == "undefined"
    headings = browser.run("[...document.querySelectorAll('.clip h2')].map(h => h.firstChild.data.trim())")
    assert headings == ["speech", *HOSTILE]


def test_the_security_policy_runs_no_other_script(page: Path, browser: Chromium) -> None:
    browser.open(page.as_uri())
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'harmed = 1'}))")
    assert browser.run("typeof window.harmed") == "undefined"


def test_the_published_page_is_small_lossless_and_names_its_licence() -> None:
    assert PUBLISHED.stat().st_size <= 5_000_000
    elements = Elements(PUBLISHED.read_text(encoding="utf-8"))
    sounds = [str(attrs["src"]) for tag, attrs in elements.tags if tag == "audio"]
    assert len([tag for tag, _ in elements.tags if tag == "h2"]) == 5 + 2  # clips, ratings and averages
    # The original and at least three versions of each.
    assert len(sounds) % 5 == 0
    assert len(sounds) >= 20
    assert all(sound.startswith("data:audio/flac;base64,") for sound in sounds)
    assert "licensed under CC BY 4.0" in elements.text


def test_the_published_page_plays_and_tests_blind(browser: Chromium) -> None:
    browser.open(PUBLISHED.as_uri())
    durations = browser.run("[...document.querySelectorAll('audio')].map(audio => audio.duration)")
    columns = len(durations) // 5
    for clip in range(5):
        of_clip = durations[clip * columns : (clip + 1) * columns]
        assert of_clip == pytest.approx([of_clip[0]] * columns, abs=1e-3)
        assert of_clip[0] > 1.0
    browser.run("document.querySelector('.test button').click()")
    browser.run("document.querySelectorAll('.play')[1].click()")
    wait_until(browser, "document.querySelectorAll('audio')[1].currentTime > 0.05")
    headings = "[...document.querySelector('.clip').querySelectorAll('h3')].map(h => h.textContent)"
    assert browser.run(headings) == ["Reference", *"ABCDEFGH"[:columns]]


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_the_page_fits_the_window(page: Path, browser: Chromium, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    try:
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= width
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")
