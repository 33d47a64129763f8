"""Tags of sound files, such as title and artist: read and written through libsndfile, and into WAV here."""

from __future__ import annotations

import io
import struct

import soundfile

from codec.bitstream.metadata import Tags, encode_metadata
from codec.errors import UsageError

# By libsndfile's names, and in WAV by the chunks of its INFO list (IBM and Microsoft, 1991; ITRK came later).
# What the source was made with is left out: it is no longer true of a copy.
_INFO_CHUNKS: dict[str, bytes | None] = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "tracknumber": b"ITRK",
    "genre": b"IGNR",
    "date": b"ICRD",
    "comment": b"ICMT",
    "copyright": b"ICOP",
    "license": None,
}


def tags_of(file: soundfile.SoundFile) -> Tags:
    """The tags of an open sound file, as many as fit into a bitstream."""
    known = file.copy_metadata()
    tags: Tags = ()
    for key in _INFO_CHUNKS:
        longer = (*tags, (key, known.get(key, "")))
        if known.get(key) and _fits(longer):
            tags = longer
    return tags


def tags_of_wav(data: bytes | int) -> Tags:
    """The tags of a WAV, or none where libsndfile cannot read it.

    Args:
        data: all its bytes up to the first sample, or the descriptor of the file, which stands elsewhere
            afterwards.
    """
    try:
        with soundfile.SoundFile(data if isinstance(data, int) else io.BytesIO(data), closefd=False) as file:
            return tags_of(file)
    except soundfile.LibsndfileError:
        return ()


def set_tags(file: soundfile.SoundFile, tags: Tags) -> None:
    """Put tags into a file that is being written, before its first sample; the format keeps what it can."""
    for key, value in _joined(tags).items():
        setattr(file, key, value)


def info_list(tags: Tags) -> bytes:
    """The chunk of a WAV that holds the tags; nothing where there are none that it can hold."""
    entries = b""
    for key, value in _joined(tags).items():
        chunk = _INFO_CHUNKS[key]
        if chunk is not None:
            # A zero ends the text, and another one makes its length even.
            text = value.encode() + b"\0"
            entries += chunk + struct.pack("<I", len(text)) + text + bytes(len(text) % 2)
    return struct.pack("<4sI4s", b"LIST", 4 + len(entries), b"INFO") + entries if entries else b""


def _joined(tags: Tags) -> dict[str, str]:
    """The tags that sound files know; several values of a key become one, since libsndfile takes one."""
    values: dict[str, list[str]] = {}
    for key, value in tags:
        # In C a zero ends a text.
        text = value.replace("\0", " ")
        if key.lower() in _INFO_CHUNKS and text:
            values.setdefault(key.lower(), []).append(text)
    return {key: "; ".join(texts) for key, texts in values.items()}


def _fits(tags: Tags) -> bool:
    try:
        encode_metadata(tags)
    except UsageError:
        return False
    return True
