"""Where training sound comes from: folders, manifests, packed parts and public corpora, all as lists of
clips."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec.errors import CodecError, UsageError
from codec.training.clips import AUDIO_SUFFIXES, Clip, probe_all
from codec.training.corpora import corpus_clips, is_corpus
from codec.training.manifest import manifest_clips
from codec.training.packed import INDEX_NAME, packed_clips

_OPTION = re.compile(r",(?=(?:prefix|weight|exclude)=)")
_FORM = "PATH[,prefix=PREFIX][,weight=NUMBER][,exclude=SPEAKER+SPEAKER...]"


@dataclass(frozen=True)
class Source:
    """One place with training sound.

    path: a folder (searched recursively), a csv manifest, a folder of packed parts, or the root of
    LibriSpeech, LibriTTS or VCTK. prefix: only clips whose name starts with it; a name is a path relative to
    the folder, or what the csv says. weight: how often a second of this source is drawn, relative to others.
    exclude_speakers: left out, where the source knows its speakers.
    """

    path: Path
    prefix: str = ""
    weight: float = 1.0
    exclude_speakers: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read `PATH[,prefix=PREFIX][,weight=NUMBER][,exclude=SPEAKER+SPEAKER...]`, as command lines give it.

        Raises UsageError where the path is missing or the weight is no positive number.
        """
        path, *options = _OPTION.split(text)
        given = dict(option.split("=", 1) for option in options)
        try:
            weight = float(given.get("weight", "1"))
        except ValueError:
            weight = 0.0
        if not path or not 0.0 < weight < math.inf:
            raise UsageError(f"the data source {text!r} is not of the form {_FORM} with a positive number")
        excluded = frozenset(filter(None, given.get("exclude", "").split("+")))
        return cls(Path(path), given.get("prefix", ""), weight, excluded)

    def clips(self) -> list[Clip]:
        """The clips, in an order that depends on names only; unreadable files are logged and left out.

        Raises CodecError where nothing usable is found, or an index or manifest is wrong.
        """
        if not self.path.exists():
            raise CodecError(f"{self.path} does not exist; name a folder of audio files or a csv manifest")
        clips = [clip for clip in self._list() if clip.speaker not in self.exclude_speakers]
        if not clips:
            under = f" under the prefix {self.prefix!r}" if self.prefix else ""
            raise CodecError(
                f"{self.path} holds no readable audio{under}; name a folder with WAV, FLAC or Ogg"
            )
        return clips

    def _list(self) -> list[Clip]:
        if self.path.is_file():
            return manifest_clips(self.path, self.prefix, self.weight)
        if (self.path / INDEX_NAME).is_file():
            return packed_clips(self.path, self.prefix, self.weight)
        if is_corpus(self.path):
            return corpus_clips(self.path, self.prefix, self.weight)
        return folder_clips(self.path, self.prefix, self.weight)


def folder_clips(folder: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """All readable audio files below `folder`, sorted by relative path; others are logged and left out."""
    names = sorted(name for name in _audio_names(folder) if name.startswith(prefix))
    return probe_all(((folder / name, name, "", weight) for name in names), str(folder))


def _audio_names(folder: Path) -> Iterator[str]:
    """Paths below `folder`, relative to it, with forward slashes, that have the suffix of an audio file."""
    for root, _, files in os.walk(folder):
        for file in files:
            if file.lower().endswith(AUDIO_SUFFIXES) and not file.startswith("."):
                yield (Path(root) / file).relative_to(folder).as_posix()
