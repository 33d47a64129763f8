"""Live streams: what has arrived is passed on, and signals and closed pipes end a command properly."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile

from codec.pcm import RawFormat
from codec.wav import build_header
from tests.cli.conftest import Run, Sound

Start = Callable[..., "subprocess.Popen[bytes]"]

ENCODE = ["--model", "small", "--packet-ms", 100]
RAW = ["--raw", "--rate", 16000]
# For a program to do what it should under the load of other work; nothing waits that long if all is well.
PATIENCE = 100


def noise(seconds: float) -> bytes:
    """Raw 16-bit samples at 16 kHz."""
    rng = np.random.default_rng(0)
    return rng.integers(-3000, 3000, round(seconds * 16000)).astype("<i2").tobytes()


def receive(program: subprocess.Popen[bytes], count: int) -> bytes:
    """Read `count` bytes from the standard output of a program, and fail where they do not come."""
    assert program.stdout is not None
    data, deadline = b"", time.monotonic() + PATIENCE
    while len(data) < count:
        ready, _, _ = select.select([program.stdout], [], [], deadline - time.monotonic())
        piece = os.read(program.stdout.fileno(), count - len(data)) if ready else b""
        assert piece, f"{len(data)} of {count} bytes came"
        data += piece
    return data


def errors_of(program: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code of a program that is about to end, and what it said on standard error."""
    assert program.stderr is not None
    code = program.wait(PATIENCE)
    return code, program.stderr.read().decode()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that a command does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def parts(folder: Path, size: int = 0) -> list[Path]:
    """The temporary files in a folder that have grown to a size in bytes."""
    return [path for path in folder.glob(".*.part") if path.stat().st_size >= size]


def group_exists(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_chain_passes_sound_on_while_it_comes(start: Start) -> None:
    encoder = start("encode", "-", "-", *ENCODE, *RAW)
    decoder = start("decode", "-", "-", "--raw", stdin=encoder.stdout)
    assert encoder.stdin is not None
    # Held back: a block that is not full, a window of the codec and a frame that the footer may cut.
    held = 2 * 2400
    for turn in range(3):
        encoder.stdin.write(noise(1.0))
        encoder.stdin.flush()
        receive(decoder, 2 * 16000 - (0 if turn else held))
    assert encoder.poll() is None
    encoder.stdin.close()
    receive(decoder, held)
    assert (encoder.wait(PATIENCE), decoder.wait(PATIENCE)) == (0, 0)
    assert decoder.stdout is not None
    assert decoder.stdout.read() == b""


def test_a_recorder_and_a_player_can_be_at_the_ends_of_a_chain(start: Start) -> None:
    encoder = start("encode", "-", "-", *ENCODE)
    decoder = start("decode", "-", "-", stdin=encoder.stdout)
    assert encoder.stdin is not None
    # As arecord writes it: a WAV of a little less than 2 GiB, since nobody knows when it ends.
    layout = RawFormat(16000, 1, "s16le")
    encoder.stdin.write(build_header(layout, 0x7FFFFF00) + noise(1.0))
    encoder.stdin.flush()
    header = build_header(layout, None)
    assert receive(decoder, len(header) + 2 * (16000 - 2400))[: len(header)] == header
    encoder.stdin.close()
    receive(decoder, 2 * 2400)
    assert [errors_of(program)[0] for program in (encoder, decoder)] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_recording_properly(run: Run, tmp_path: Path, number: signal.Signals) -> None:
    def record(microphone: BinaryIO) -> None:
        microphone.write(noise(3.0))
        wait_until(lambda: parts(tmp_path, 1500))
        assert not (tmp_path / "out.nac").exists()
        # `timeout` sends its signal to the process and to its group: twice.
        for _ in range(2):
            os.kill(os.getpid(), number)
        # The pipe stays open: it is the signal that ends the recording.
        wait_until(lambda: (tmp_path / "out.nac").exists())

    result = run("encode", "-", "out.nac", *ENCODE, *RAW, stdin=record)
    assert result.code == 0
    assert f"ended by {number.name} and complete up to there" in result.stderr
    assert "warning" not in result.stderr
    assert run("decode", "out.nac", "out.wav", "--strict").code == 0
    assert soundfile.info("out.wav").frames == 3 * 16000


def test_a_signal_ends_the_decoding_of_a_stream_properly(run: Run, stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()

    def send(pipe: BinaryIO) -> None:
        pipe.write(data[: len(data) * 7 // 10])
        wait_until(lambda: parts(tmp_path, 2 * 2 * 16000))
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: (tmp_path / "out.wav").exists())

    result = run("decode", "-", "out.wav", stdin=send)
    assert result.code == 0
    assert "ended by SIGINT" in result.stderr
    assert "warning" not in result.stderr
    assert 2.9 * 16000 < soundfile.info("out.wav").frames < 3.1 * 16000


TWO_PASSES = ["--mode", "abr", "--two-pass"]


@pytest.mark.parametrize(
    ("options", "size", "number", "code"),
    [
        ([], 1500, signal.SIGINT, 130),
        ([], 1500, signal.SIGTERM, 143),
        pytest.param(TWO_PASSES, 1, signal.SIGINT, 130, id="first pass"),
        pytest.param(TWO_PASSES, 1500, signal.SIGINT, 130, id="second pass"),
    ],
)
def test_a_signal_breaks_off_on_a_file(
    run: Run, sound: Sound, tmp_path: Path, options: list[str], size: int, number: signal.Signals, code: int
) -> None:
    source = sound("in.wav", 600.0, 8000)

    def interrupt() -> None:
        wait_until(lambda: parts(tmp_path, size))
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = run("encode", source, "out.nac", *ENCODE, *options)
    thread.join()
    assert result.code == code
    assert result.error == f"codec: error: ended by {number.name}"
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_a_signal_while_the_program_starts_loses_nothing(start: Start, run: Run, sound: Sound) -> None:
    source = sound("in.wav", 1.0)
    program = start("encode", "-", "out.nac", *ENCODE)
    assert program.stdin is not None
    program.stdin.write(source.read_bytes())
    program.stdin.flush()
    status = Path(f"/proc/{program.pid}/status")
    caught = 1 << (signal.SIGTERM - 1)
    wait_until(lambda: int(status.read_text().split("SigCgt:")[1].split()[0], 16) & caught)
    program.send_signal(signal.SIGTERM)
    code, message = errors_of(program)
    assert code == 0
    assert "ended by SIGTERM" in message
    assert run("decode", "out.nac", "out.wav", "--strict").code == 0
    assert soundfile.info("out.wav").frames == 16000


def test_a_signal_ends_all_workers_of_a_folder(start: Start, sound: Sound, tmp_path: Path) -> None:
    for name in "abc":
        sound(f"in/{name}.wav", 1200.0, 8000)
    program = start("encode", "-r", "in", "out", *ENCODE, "--jobs", 2, start_new_session=True)
    wait_until(lambda: len(parts(tmp_path / "out")) == 2)
    # As a terminal does: to the whole group.
    os.killpg(program.pid, signal.SIGINT)
    assert errors_of(program) == (130, "codec: error: ended by SIGINT\n")
    assert list((tmp_path / "out").iterdir()) == []
    wait_until(lambda: not group_exists(program.pid))


def test_a_signal_ends_a_program_whose_reader_is_stuck(start: Start, sound: Sound, run: Run) -> None:
    source = sound("in.wav", 60.0)
    assert run("encode", source, "a.nac", "--model", "small").code == 0
    program = start("decode", "a.nac", "-")
    receive(program, 1000)
    time.sleep(0.5)
    program.send_signal(signal.SIGTERM)
    assert errors_of(program) == (143, "codec: error: ended by SIGTERM\n")


def test_a_closed_pipe_ends_quietly(start: Start, stream: Path) -> None:
    encoder = start("encode", "-", "-", *ENCODE, *RAW, "--json")
    programs = [encoder, start("decode", stream, "-")]
    assert encoder.stdin is not None
    for turn in range(2):
        encoder.stdin.write(noise(1.0))
        encoder.stdin.flush()
        for program in programs if turn == 0 else []:
            receive(program, 10)
            assert program.stdout is not None
            program.stdout.close()
    for program in programs:
        assert errors_of(program) == (0, "")


def test_a_pipe_without_a_reader_ends_quietly(start: Start, stream: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    programs = [start("info", stream, stdout=writing), start("decode", stream, "-", stdout=writing)]
    os.close(writing)
    for program in programs:
        assert errors_of(program) == (0, "")


def test_closed_standard_streams_are_named(start: Start, stream: Path) -> None:
    programs = {
        "input": start("encode", "-", "a.nac", stdin=None, preexec_fn=lambda: os.close(0)),
        "output": start("decode", stream, "-", stdout=None, preexec_fn=lambda: os.close(1)),
    }
    for name, program in programs.items():
        code, message = errors_of(program)
        assert code == 2
        assert f"standard {name} is closed" in message


def test_a_named_pipe_is_live(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.pcm")

    def record() -> None:
        with open(tmp_path / "in.pcm", "wb", buffering=0) as pipe:
            pipe.write(noise(1.0))
            wait_until(lambda: parts(tmp_path, 500))
            os.kill(os.getpid(), signal.SIGINT)
            wait_until(lambda: (tmp_path / "out.nac").exists())

    thread = threading.Thread(target=record)
    thread.start()
    assert run("encode", "in.pcm", "out.nac", *ENCODE, *RAW).code == 0
    thread.join()
    assert b'"samples": 16000' in run("info", "out.nac", "--json").stdout


def test_a_live_input_that_reaches_the_maximal_duration_is_kept(run: Run) -> None:
    arguments = ["encode", "-", "out.nac", *ENCODE, *RAW, "--max-duration", 0.5]
    result = run(*arguments, stdin=noise(1.0))
    assert result.code == 1
    assert "--max-duration" in result.error
    assert "coded up to there" in result.error
    assert b'"samples": 8000' in run("info", "out.nac", "--json").stdout
    assert run(*arguments, "--force", stdin=noise(0.5)).code == 0


@pytest.mark.parametrize("option", [None, "--quiet", "--json"])
def test_progress_is_shown_on_a_terminal(
    run: Run, sound: Sound, monkeypatch: pytest.MonkeyPatch, option: str | None
) -> None:
    source = sound("in.wav", 30.0)
    terminal, inside = os.openpty()
    with monkeypatch.context() as patch, open(inside, "w") as stderr:
        patch.setattr(sys, "stderr", stderr)
        patch.setenv("TERM", "xterm")
        assert run("encode", source, "out.nac", *ENCODE, *([option] if option else [])).code == 0
        print("end", file=stderr, flush=True)
        shown = b""
        while b"end" not in shown:
            shown += os.read(terminal, 4096)
    os.close(terminal)
    # The line that is drawn over and over, and the summary.
    assert (b"\x1b[" in shown) == (option is None)
    assert (b"in.wav ->" in shown) == (option is None)


def test_sound_is_not_sent_to_a_terminal(run: Run, stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, inside = os.openpty()
    with monkeypatch.context() as patch, open(inside, "w") as stdout:
        patch.setattr(sys, "stdout", stdout)
        result = run("decode", stream, "-")
    os.close(terminal)
    assert result.code == 2
    assert "standard output is a terminal" in result.error
