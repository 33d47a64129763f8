"""Public speech corpora in their published layouts, read through torchaudio's dataset classes.

The classes list the utterances; samples are read by soundfile like those of any other source, since
`torchaudio.load` needs a further package.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from codec.errors import CodecError
from codec.torchaudio_cpu import torchaudio
from codec.training.clips import Clip, probe_all

log = logging.getLogger(__name__)

# Speakers of recipes/speech_16k/valid.csv, by their number at LibriVox, which LibriSpeech and LibriTTS share.
# Trained on, they would make every published figure of the validation list worthless.
VALIDATION_SPEAKERS = frozenset(
    {"19", "32", "211", "446", "2007", "2817", "2836", "3857", "4441", "5393"}
    | {"6081", "6454", "7059", "7178", "7447", "7780", "8108", "8465", "8609", "8630"}
)

_TRAINING_SUBSETS = ("train-clean-100", "train-clean-360", "train-other-500")
_LIBRI = ("LibriSpeech", "LibriTTS")
_VCTK = "VCTK-Corpus-0.92"

# SPEAKER-CHAPTER-UTTERANCE.flac or SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav (with #1, #2 if cut for packing).
_PUBLISHED_NAME = re.compile(r"(\d+)(?:-\d+-\d{4}|_\d+_\d{6}_\d{6})\.\w+(?:#\d+)?")

# Path, name relative to the corpus' root, and speaker of an utterance.
Utterance = tuple[Path, str, str]


def is_corpus(path: Path) -> bool:
    """Whether `path` is root, top folder or a subset of LibriSpeech or LibriTTS, or root or top of VCTK."""
    return bool(_subsets(path)) or _vctk_root(path) is not None


def corpus_clips(path: Path, prefix: str = "", weight: float = 1.0) -> list[Clip]:
    """The readable utterances of the corpora at `path`, sorted by subset and name, with their speakers.

    Of LibriSpeech and LibriTTS the training subsets are taken, unless `path` is one subset itself.
    prefix: only names (paths relative to the corpus' root) that start with it. weight: of every clip.
    The validation speakers of recipes/speech_16k are left out.
    Raises CodecError where a corpus is not laid out as published.
    """
    found = [utterance for utterance in _utterances(path) if utterance[1].startswith(prefix)]
    kept = [utterance for utterance in found if utterance[2] not in VALIDATION_SPEAKERS]
    log.info("%s: %d of %d utterances are of validation speakers", path, len(found) - len(kept), len(found))
    return probe_all(((file, name, speaker, weight) for file, name, speaker in kept), str(path))


def without_validation_speakers(clips: Sequence[Clip]) -> list[Clip]:
    """The clips but those named like an utterance of a validation speaker in LibriSpeech or LibriTTS.

    This catches the corpora where they come as a plain folder, a manifest or packed parts.
    """
    matches = ((clip, _PUBLISHED_NAME.fullmatch(clip.name.rpartition("/")[2])) for clip in clips)
    return [clip for clip, match in matches if match is None or match[1] not in VALIDATION_SPEAKERS]


def _utterances(path: Path) -> Iterator[Utterance]:
    try:
        for corpus, subset in _subsets(path):
            yield from _librispeech(subset) if corpus == "LibriSpeech" else _libritts(subset)
        vctk_root = _vctk_root(path)
        if vctk_root is not None:
            yield from _vctk(vctk_root)
    except (OSError, RuntimeError, ValueError) as error:
        raise CodecError(
            f"{path} is not laid out as the corpus is published: {error}; unpack it anew"
        ) from error


def _subsets(path: Path) -> list[tuple[str, Path]]:
    """Corpus and folder of each Libri* subset that `path` stands for."""
    path = path.resolve()
    if path.parent.name in _LIBRI:
        return [(path.parent.name, path)]
    tops = [path] if path.name in _LIBRI else [path / name for name in _LIBRI]
    return [
        (top.name, top / subset) for top in tops for subset in _TRAINING_SUBSETS if (top / subset).is_dir()
    ]


def _vctk_root(path: Path) -> Path | None:
    """The folder that holds VCTK's top folder, where `path` is either of them."""
    path = path.resolve()
    if path.name == _VCTK:
        return path.parent
    return path if (path / _VCTK).is_dir() else None


def _librispeech(subset: Path) -> Iterator[Utterance]:
    archive, root = subset.parent, subset.parent.parent
    dataset = torchaudio().datasets.LIBRISPEECH(root, url=subset.name)
    for index in range(len(dataset)):
        relative, _, _, speaker, _, _ = dataset.get_metadata(index)
        yield archive / relative, (archive / relative).relative_to(root).as_posix(), str(speaker)


def _libritts(subset: Path) -> Iterator[Utterance]:
    root = subset.parent.parent
    # The class has no get_metadata and its items decode the audio, so its list of utterances is read.
    for utterance in torchaudio().datasets.LIBRITTS(root, url=subset.name)._walker:
        speaker, chapter, _ = utterance.split("_", 2)
        file = subset / speaker / chapter / f"{utterance}.wav"
        yield file, file.relative_to(root).as_posix(), speaker


def _vctk(root: Path) -> Iterator[Utterance]:
    dataset = torchaudio().datasets.VCTK_092(str(root))
    # As for LibriTTS; the second microphone, the class's default, is the cleaner of the two.
    for speaker, utterance in dataset._sample_ids:
        file = Path(dataset._audio_dir) / speaker / f"{speaker}_{utterance}_{dataset._mic_id}.flac"
        yield file, file.relative_to(root).as_posix(), speaker
