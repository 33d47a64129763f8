"""`codec info`: what it tells with the model and without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream import CodesHash, ContainerWriter, PayloadCoder, StreamHeader
from codec.cli.models import cached_model
from codec.streaming.setup import describe
from tests.cli.conftest import Run


def write_stream(
    path: str, header: StreamHeader, codes: np.ndarray, tags: tuple[tuple[str, str], ...] = ()
) -> None:
    """The bitstream of codes [C, M, F]."""
    writer, digest = ContainerWriter(header), CodesHash()
    coder = PayloadCoder(header.num_codebooks, header.bits_per_code, header.block_frames, header.channels)
    parts = writer.start(tags)
    for start in range(0, codes.shape[2], header.block_frames):
        block = codes[:, :, start : start + header.block_frames]
        digest.update(block)
        parts += writer.block(start, coder.pack(block), block.shape[2])
    Path(path).write_bytes(b"".join(parts + writer.finish(codes.shape[2] * 320 - 320, digest.digest())))


def test_info(run: Run, stream: Path) -> None:
    report = json.loads(run("info", stream, "--json").stdout)
    expected = {
        "seconds": 5.0,
        "samples": 80000,
        "sample_rate": 16000,
        "channels": 1,
        "model": "small",
        "codebooks": 17,
        "frame_rate": 50.0,
        "blocks": 6,
        "damaged_blocks": 0,
        "file_bytes": stream.stat().st_size,
        "latency_ms": 40.0,
        "warnings": [],
    }
    assert {key: report[key] for key in expected} == expected
    assert report["payload_bits"] + report["container_bits"] == 8 * stream.stat().st_size
    assert report["kbps"] == pytest.approx(8 * stream.stat().st_size / 5 / 1000)
    text = run("info", "-", stdin=stream.read_bytes()).stdout.decode()
    for part in (
        "standard input",
        "5.000 s",
        "16000 Hz",
        "small",
        report["model_id"],
        "17 of 7 bits",
        "40 ms",
    ):
        assert part in text


def test_the_number_of_codebooks_may_vary(run: Run, rng: np.random.Generator) -> None:
    header = StreamHeader("small", bytes(8), 16000, 2, 16000, 320, 5, 7, 50, flags=2)
    n = rng.integers(0, 5, (2, 130))
    codes = np.where(np.arange(5)[:, None] < n[:, None], rng.integers(0, 128, (2, 5, 130)), -1)
    write_stream("a.nac", header, codes)
    report = json.loads(run("info", "a.nac", "--json").stdout)
    assert report["mode"] == "vbr"
    assert report["codebooks_per_frame"] == {
        "mean": pytest.approx(n.mean()),
        "min": int(n.min()),
        "max": int(n.max()),
    }
    assert report["raw_index_bits"] == 7 * n.sum()
    assert report["blocks"] == 3
    text = run("info", "a.nac").stdout.decode()
    assert f"{n.mean():.2f} on average, {n.min()} to {n.max()}, of 7 bits" in text
    assert f"{7 * n.sum():,} bits of indices before entropy coding" in text


def test_bits_before_and_after_entropy_coding(run: Run, stream: Path) -> None:
    report = json.loads(run("info", stream, "--json").stdout)
    assert report["raw_index_bits"] == 7 * 17 * 251
    assert report["codebooks_per_frame"] == {"mean": 17, "min": 17, "max": 17}
    change = 100 * (report["payload_bits"] / report["raw_index_bits"] - 1)
    assert (
        f"{report['payload_bits']:,} payload bits after ({change:+.1f} %)"
        in run("info", stream).stdout.decode()
    )


def test_what_only_the_model_can_tell_is_said_to_be_missing(run: Run) -> None:
    header = StreamHeader("nonesuch", bytes(8), 16000, 1, 16000, 320, 5, 7, 50)
    writer = ContainerWriter(header)
    # Entropy coded, and the number of codebooks varies.
    parts = writer.start() + writer.block(0, bytes([0x80 | 63, 1, 2, 3]), 50) + writer.finish(15000, bytes(8))
    Path("a.nac").write_bytes(b"".join(parts))
    report = json.loads(run("info", "a.nac", "--json").stdout)
    assert (report["codebooks_per_frame"], report["raw_index_bits"], report["latency_ms"]) == (None,) * 3
    assert (report["seconds"], report["payload_bits"], report["damaged_blocks"]) == (15000 / 16000, 32, 0)
    text = run("info", "a.nac").stdout.decode()
    assert "up to 5 of 7 bits" in text
    assert "unknown without the model" in text
    assert "latency     unknown: no model nonesuch was found" in text


def test_payloads_of_no_codes_count_as_damage(run: Run) -> None:
    header = describe(cached_model("small"), 16000, 1, 5, 50)
    writer = ContainerWriter(header)
    parts = writer.start() + writer.block(0, bytes([7]), 50) + writer.block(50, bytes([63, 255]), 50)
    Path("a.nac").write_bytes(b"".join(parts + writer.finish(31000, bytes(8))))
    result = run("info", "a.nac", "--json")
    report = json.loads(result.stdout)
    assert (report["blocks"], report["damaged_blocks"], report["codebooks_per_frame"]) == (2, 2, None)
    assert report["warnings"][0].startswith("a.nac: block 0: a payload of 7 codebooks")
    assert report["warnings"][1].startswith("a.nac: block 1: ")


def test_tags_are_shown_and_cannot_steer_the_terminal(run: Run) -> None:
    header = StreamHeader("small", bytes(8), 16000, 1, 16000, 320, 5, 7, 50)
    tags = (("title", "A \x1b[2J\n  duration 5 h"), ("artist", "B"), ("artist", "C"))
    write_stream("a.nac", header, np.zeros((1, 5, 50), np.int64), tags)
    assert json.loads(run("info", "a.nac", "--json").stdout)["tags"] == {
        "title": tags[0][1],
        "artist": "B; C",
    }
    lines = run("info", "a.nac").stdout.decode().splitlines()
    assert lines[-2:] == ["  title       A \\x1b[2J   duration 5 h", "  artist      B; C"]


def test_a_damaged_header_is_read_from_its_copy_in_a_file(run: Run, stream: Path) -> None:
    whole = json.loads(run("info", stream, "--json").stdout)
    data = bytearray(stream.read_bytes())
    data[9] ^= 1
    stream.write_bytes(data)
    report = json.loads(run("info", stream, "--json").stdout)
    assert "its header is damaged, and was read from the copy in its footer" in report["warnings"][0]
    for key in ("seconds", "blocks", "damaged_blocks", "codebooks_per_frame", "model_id", "payload_bits"):
        assert report[key] == whole[key]
    result = run("info", "-", stdin=bytes(data))
    assert result.code == 1
    assert "standard input" in result.error


def test_info_without_the_model(run: Run) -> None:
    for name, reason in (("nonesuch", "no model nonesuch was found"), ("small", "another id")):
        writer = ContainerWriter(StreamHeader(name, bytes(8), 16000, 1, 16000, 320, 2, 10, 100))
        payload = PayloadCoder(2, 10, 100, 1).pack(np.zeros((1, 2, 50), np.int64))
        parts = writer.start() + writer.block(0, payload, 50) + writer.finish(15000, bytes(8))
        Path("foreign.nac").write_bytes(b"".join(parts))
        result = run("info", "foreign.nac")
        assert result.code == 0
        assert reason in result.stdout.decode()
        report = json.loads(run("info", "foreign.nac", "--json").stdout)
        assert (report["latency_ms"], report["samples"], report["model"]) == (None, 15000, name)
