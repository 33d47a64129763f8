"""How `codec evaluate` measures a model and where the results go."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console as Terminal
from rich.table import Table

from codec.api import Codec
from codec.atomic import AtomicFile
from codec.cli.console import Console, count
from codec.cli.evaluate import EvaluateOptions
from codec.cli.models import cached_model
from codec.errors import CodecError, UsageError
from codec.evaluation import report
from codec.evaluation.evaluate import Clip, RoundTrip, Setting, aggregate, load_clips
from codec.evaluation.facts import ModelFacts, model_facts
from codec.evaluation.listening import listening_page
from codec.evaluation.metrics import METRICS
from codec.evaluation.modes import mode_settings
from codec.evaluation.peers import PEERS
from codec.evaluation.plots import draw_curves
from codec.evaluation.run import choose_metrics, code_clips, peer_settings
from codec.evaluation.scoring import score_trips
from codec.streaming import Mode

_FILES = ("report.md", "clips.csv", "settings.csv", "quality.png", "index.html")
_PAGE_SECONDS = 2.0
_PIPE_COLUMNS = 140
_MODES: dict[str, Mode] = {"cbr": "cbr", "abr": "abr", "vbr": "vbr"}


def evaluate_folder(options: EvaluateOptions, console: Console) -> None:
    """Measure, print the tables on standard output, and write the results to the folder for them.

    Raises:
        CodecError: the model or a clip cannot be read, or a result cannot be written.
        UsageError: there is nothing to measure, or a name is unknown.
    """
    absent = _Absent(console)
    metrics = choose_metrics(_all(options.metrics, METRICS), absent.tell)
    settings = _model_settings(options)
    if not settings:
        raise UsageError("there is nothing to measure: give --bitrates, --qualities or --codebooks")
    settings += peer_settings(_all(options.peers, PEERS), options.bitrates, absent.tell)
    shown = _page_settings(options, settings)
    clips = load_clips(options.folder)
    codec = Codec(cached_model(options.model))
    facts = model_facts(codec)
    with ExitStack() as stack:
        # Opened first: minutes of measuring should not end at a folder that cannot be written.
        files = _open(options.out, stack) if options.out is not None else None
        trips = _measure(codec, clips, settings, metrics, options, console, absent)
        latencies = {name: peer.latency_ms for name, peer in PEERS.items()} | {"": codec.latency_ms}
        text = _report(trips, facts, metrics, options.split, latencies) + absent.markdown()
        if files is not None:
            page = _for_page(trips, shown, options.page_clips)
            contents = (
                text.encode(),
                report.to_csv(trips, metrics).encode(),
                report.summary_csv(aggregate(trips), metrics).encode(),
                draw_curves(aggregate(trips), metrics, facts.name),
                listening_page(facts, page, metrics, options.credit).encode(),
            )
            for file, content in zip(files, contents, strict=True):
                file.write(content)
    if options.out is not None:
        console.note(f"wrote {', '.join(_FILES)} to {options.out}")


class _Absent:
    """What was asked for and is not measured: warned of at once, and kept for the report."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sentences: list[str] = []

    def tell(self, sentence: str) -> None:
        """Warn and keep."""
        self._console.warn(sentence)
        self._sentences.append(sentence)

    def markdown(self) -> str:
        """All sentences as a list, or nothing where nothing is absent."""
        items = "".join(f"- {sentence}\n" for sentence in self._sentences)
        return f"\nNot in these tables:\n\n{items}" if items else ""


def _all(names: list[str], every: Iterable[str]) -> list[str]:
    return list(every) if names == ["all"] else names


def _model_settings(options: EvaluateOptions) -> list[Setting]:
    settings = [
        setting
        for mode in options.modes
        for setting in mode_settings(_MODES[mode], options.bitrates, options.qualities)
    ]
    return settings + [Setting(num_codebooks=number) for number in options.codebooks]


def _page_settings(options: EvaluateOptions, settings: list[Setting]) -> list[Setting]:
    """The settings that the page shows; refuses names that are not measured before anything is."""
    if not options.page_settings:
        return [setting for setting in settings if not setting.peer]
    by_label = {setting.label: setting for setting in settings}
    unknown = [label for label in options.page_settings if label not in by_label]
    if unknown:
        raise UsageError(
            f"--page-settings names {unknown[0]!r}, which is not measured: choose among {', '.join(by_label)}"
        )
    return [by_label[label] for label in options.page_settings]


def _measure(
    codec: Codec,
    clips: Sequence[Clip],
    settings: Sequence[Setting],
    metrics: Sequence[str],
    options: EvaluateOptions,
    console: Console,
    absent: _Absent,
) -> list[RoundTrip]:
    total = len(clips) * len(settings)
    with console.progress(f"coding {count(len(clips), 'clip')}", total) as advance:
        trips = code_clips(codec, clips, settings, absent.tell, advance)
    with console.progress(f"scoring {count(len(trips), 'clip')}", len(trips)) as advance:
        return score_trips(trips, metrics, options.jobs, advance)


def _report(
    trips: Sequence[RoundTrip],
    facts: ModelFacts,
    metrics: Sequence[str],
    split: int,
    latencies: dict[str, float | None],
) -> str:
    """Print the tables and return them as Markdown."""
    terminal = Terminal(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    about = f"{report.format_model(facts)}; speeds in processor time of one thread"
    terminal.print(about, markup=False, soft_wrap=True)
    text = f"{about}.\n"
    for name, part in _groups(trips, split).items():
        results = aggregate(part)
        terminal.print(f"\n{name}", style="bold")
        tables: tuple[Table, ...] = (
            report.quality_table(results, metrics),
            report.rate_table(results, latencies),
        )
        for table in tables:
            terminal.print(table)
        for note in report.missing_notes(results):
            terminal.print(note, markup=False, soft_wrap=True)
        text += f"\n{name}:\n\n{report.markdown(results, metrics, latencies)}"
    return text


def _groups(trips: Sequence[RoundTrip], split: int) -> dict[str, list[RoundTrip]]:
    """All round trips, and with a split at a number of clips those of the clips before and after it."""
    clips = list(dict.fromkeys(trip.clip for trip in trips))
    groups = {f"All {count(len(clips), 'clip')}": list(trips)}
    if 0 < split < len(clips):
        first = set(clips[:split])
        groups[f"The first {split}"] = [trip for trip in trips if trip.clip in first]
        groups[f"The other {len(clips) - split}"] = [trip for trip in trips if trip.clip not in first]
    return groups


def _for_page(trips: Sequence[RoundTrip], settings: Sequence[Setting], number: int) -> list[RoundTrip]:
    """The round trips of the shortest clips from two seconds on, in the order of the settings."""
    clips = list(dict.fromkeys(trip.clip for trip in trips))
    long_enough = [clip for clip in clips if clip.seconds >= _PAGE_SECONDS] or clips
    chosen = set(sorted(long_enough, key=lambda clip: clip.seconds)[:number])
    return [trip for setting in settings for trip in trips if trip.setting == setting and trip.clip in chosen]


def _open(folder: Path, stack: ExitStack) -> list[AtomicFile]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CodecError(f"{folder} cannot be made a folder ({error.strerror}): name another") from error
    return [stack.enter_context(AtomicFile(folder / name, force=True)) for name in _FILES]
