from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.bitstream import ContainerWriter, printable
from codec.bitstream.metadata import Tags, encode_metadata, parse_metadata
from codec.errors import CodecError, UsageError
from tests.bitstream.streams import HEADER

KEYS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7D, exclude_characters="="), min_size=1)
VALUES = st.text(st.characters(codec="utf-8"))


@given(st.lists(st.tuples(KEYS.filter(lambda key: len(key) <= 64), VALUES), max_size=20).map(tuple))
def test_tags_come_back(tags: Tags) -> None:
    assert parse_metadata(encode_metadata(tags)) == tags


def test_the_layout_is_the_documented_one() -> None:
    assert encode_metadata([("title", "Été"), ("x", "")]) == b"\0\x0btitle=\xc3\x89t\xc3\xa9\0\2x="


@pytest.mark.parametrize("key", ["", "a=b", "é", "a\n", "~", "k" * 65])
def test_keys_that_no_reader_could_tell_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match="a tag's key"):
        encode_metadata([(key, "value")])


def test_tags_beyond_a_unit_are_refused_and_nothing_is_written() -> None:
    assert len(encode_metadata([("k", "v" * 65531)])) == 65535
    for tags in ([("k", "v" * 65532)], [("k", "v" * 30000)] * 3, [("k", "\ud800")]):
        writer = ContainerWriter(HEADER)
        with pytest.raises(UsageError, match="tag"):
            writer.start(tags)
        assert writer.start() == [HEADER.to_bytes()]


@pytest.mark.parametrize(
    "payload", [b"\0", b"\0\5a=", b"\0\1a", b"\0\2=a", b"\0\3a=\xff", b"\0\0", b"\0\2a=\0"]
)
def test_what_no_tags_encode_to_is_refused(payload: bytes) -> None:
    with pytest.raises(CodecError, match="tag"):
        parse_metadata(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(payload: bytes) -> None:
    try:
        tags = parse_metadata(payload)
    except CodecError:
        return
    assert encode_metadata(tags) == payload


def test_what_steers_a_terminal_is_not_printed() -> None:
    assert printable("Été 語 (live)") == "Été 語 (live)"
    assert printable("\x1b[2Jx\r\n\t\x00\x7f\u202e\u2028") == "�[2Jx�������"
