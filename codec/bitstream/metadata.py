"""Tags of a stream: pairs of key and value, as FLAC and Ogg files have them."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from codec.errors import CodecError, UsageError

Tags = tuple[tuple[str, str], ...]
"""Pairs of key and value. A key may come several times, as for several artists."""

MAX_KEY_BYTES = 64
MAX_METADATA_BYTES = (1 << 16) - 1

_LENGTH = struct.Struct(">H")
# As in Vorbis comments: printable ASCII without the sign that ends a key.
_KEY_CHARACTERS = frozenset(map(chr, range(0x20, 0x7E))) - {"="}


def encode_metadata(tags: Iterable[tuple[str, str]]) -> bytes:
    """Returns the payload of a metadata unit.

    Args:
        tags: pairs of a key, 1 to 64 characters from space to `}` without `=`, and any text as value.

    Raises:
        UsageError: a key holds other characters, a value is not valid text, or they take too many bytes.
    """
    entries = [_encode_tag(key, value) for key, value in tags]
    payload = b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)
    if len(payload) > MAX_METADATA_BYTES:
        raise UsageError(
            f"the tags take {len(payload)} bytes of at most {MAX_METADATA_BYTES}: leave some out"
        )
    return payload


def parse_metadata(payload: bytes) -> Tags:
    """Returns the tags of a metadata unit's payload; raises CodecError if no tags encode to it."""
    tags, at = [], 0
    while at < len(payload):
        start = at + _LENGTH.size
        at = start + int.from_bytes(payload[at:start])
        if at > len(payload) or start > len(payload):
            raise CodecError("a tag is longer than its metadata")
        tags.append(_parse_tag(payload[start:at]))
    return tuple(tags)


def printable(text: str) -> str:
    """Returns `text` for a terminal or a log: on one line, and without characters that steer either."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _encode_tag(key: str, value: str) -> bytes:
    if not _is_key(key):
        raise UsageError(f"a tag's key has 1 to {MAX_KEY_BYTES} ASCII characters and no '=', unlike {key!r}")
    try:
        entry = f"{key}={value}".encode()
    except UnicodeEncodeError:
        raise UsageError(f"the value of the tag {key} is not valid text") from None
    if len(entry) > MAX_METADATA_BYTES - _LENGTH.size:
        raise UsageError(f"the tag {key} takes {len(entry)} bytes, and all may take {MAX_METADATA_BYTES}")
    return entry


def _parse_tag(entry: bytes) -> tuple[str, str]:
    try:
        key, equals, value = entry.decode().partition("=")
    except UnicodeDecodeError:
        raise CodecError("a tag is not valid text") from None
    if not equals or not _is_key(key):
        raise CodecError("a tag has no key")
    return key, value


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= MAX_KEY_BYTES and set(key) <= _KEY_CHARACTERS
