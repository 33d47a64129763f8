"""A whole evaluation: settings of a model and of its peers over a folder of clips."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.api import Codec
from codec.errors import CodecError, UsageError
from codec.evaluation.evaluate import Clip, RoundTrip, Setting, round_trip
from codec.evaluation.metrics import METRICS, missing_package
from codec.evaluation.modes import codec_for
from codec.evaluation.peer_trips import peer_round_trip
from codec.evaluation.peers import PEERS

Tell = Callable[[str], None]
Advance = Callable[[float], None]


def choose_metrics(names: Sequence[str], tell: Tell) -> list[str]:
    """Keep the metrics that can be measured here, in the order given, and tell which cannot.

    Raises ``UsageError`` for a name that is no metric.
    """
    chosen = []
    for name in dict.fromkeys(names):
        if name not in METRICS:
            raise UsageError(f"{name!r} is no metric: choose among {', '.join(METRICS)}")
        package = missing_package(name)
        if package is None:
            chosen.append(name)
        else:
            tell(f"{name} is not measured: the package {package} is not installed")
    return chosen


def peer_settings(names: Sequence[str], bitrates: Sequence[float], tell: Tell) -> list[Setting]:
    """The settings of the peers that are installed, near the model's bitrates; tells which are not there.

    Raises ``UsageError`` for a name that is no peer.
    """
    settings = []
    for name in dict.fromkeys(names):
        if name not in PEERS:
            raise UsageError(f"{name!r} is no peer: choose among {', '.join(PEERS)}")
        reason = PEERS[name].missing()
        if reason is not None:
            tell(f"{name} is not measured: {reason}")
            continue
        settings += [Setting(bitrate=rate, peer=name) for rate in PEERS[name].rates_for(list(bitrates))]
    return settings


def code_clips(
    codec: Codec, clips: Sequence[Clip], settings: Sequence[Setting], tell: Tell, advance: Advance
) -> list[RoundTrip]:
    """Send every clip through every setting, one after the other, since speeds are measured; no scores.

    A peer whose program fails at a setting is told of and left out of it. Raises ``CodecError`` where the
    model itself refuses.
    """
    # The first run pays for checks and memory that later ones share.
    round_trip(codec_for(codec, settings[0]), clips[0], settings[0], [])
    trips: list[RoundTrip] = []
    with tempfile.TemporaryDirectory(prefix="codec-evaluate-") as folder:
        for setting in settings:
            if setting.peer:
                trips += _code_by_peer(clips, setting, Path(folder), tell, advance)
                continue
            for clip in clips:
                trips.append(round_trip(codec_for(codec, setting), clip, setting, []))
                advance(1)
    return trips


def _code_by_peer(
    clips: Sequence[Clip], setting: Setting, folder: Path, tell: Tell, advance: Advance
) -> list[RoundTrip]:
    trips = []
    for clip in clips:
        try:
            trips.append(peer_round_trip(PEERS[setting.peer], clip, setting.bitrate or 0.0, folder))
        except CodecError as error:
            tell(f"{setting.label} is left out: on {clip.name}, {error}")
            return []
        advance(1)
    return trips
