"""`codec.atomic`: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from codec.atomic import AtomicFile
from codec.errors import CodecError, UsageError


def test_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    with AtomicFile(target) as file:
        file.write(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with AtomicFile(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failure", [RuntimeError("defect"), KeyboardInterrupt()])
def test_failure_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)), AtomicFile(tmp_path / "out.bin") as file:
        file.write(b"half of it")
        raise failure
    assert os.listdir(tmp_path) == []


def test_failure_keeps_what_was_to_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), AtomicFile(target, force=True) as file:
        file.write(b"new")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_a_dropped_file_leaves_nothing(tmp_path: Path) -> None:
    AtomicFile(tmp_path / "out.bin").write(b"never committed")
    assert os.listdir(tmp_path) == []


def test_existing_target_needs_force(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(UsageError, match=r"out\.bin exists already: replace it with --force"):
        AtomicFile(target)
    assert target.read_bytes() == b"old"
    with AtomicFile(target, force=True) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_target_that_comes_up_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    file = AtomicFile(target)
    target.write_bytes(b"of another program")
    with pytest.raises(UsageError, match="exists already"):
        file.commit()
    assert target.read_bytes() == b"of another program"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(b"precious")
    link = tmp_path / "link.bin"
    link.symlink_to(outside)
    with pytest.raises(UsageError):
        AtomicFile(link)
    with AtomicFile(link, force=True) as file:
        file.write(b"new")
    assert outside.read_bytes() == b"precious"
    assert not link.is_symlink()


def test_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    link = tmp_path / "link.bin"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        AtomicFile(link)


def test_folder_is_refused_even_with_force(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        AtomicFile(tmp_path, force=True)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"make the folder .*missing first"):
        AtomicFile(tmp_path / "missing" / "out.bin")


def test_unwritable_folder_is_refused() -> None:
    # /proc takes no new files, not even root's.
    with pytest.raises(UsageError, match=r"/proc/out\.bin cannot be written"):
        AtomicFile("/proc/out.bin")


def test_too_long_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="cannot be written"), AtomicFile(tmp_path / ("n" * 300)):
        pass
    assert os.listdir(tmp_path) == []


def test_longest_name_fits(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / ("n" * 255)):
        pass
    assert os.listdir(tmp_path) == ["n" * 255]


def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with (
            pytest.raises(CodecError, match=r"out\.bin cannot be written \(.*\): free some space") as caught,
            AtomicFile(tmp_path / "out.bin") as file,
        ):
            file.write(bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 1
    assert os.listdir(tmp_path) == []


def test_full_disk_at_the_very_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CodecError, match="No space left"), AtomicFile(tmp_path / "out.bin"):
        pass
    assert os.listdir(tmp_path) == []


def test_device_is_written_through_and_stays_a_device() -> None:
    with AtomicFile("/dev/null") as file:
        assert not file.seekable
        file.write(b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(CodecError, match="/dev/full cannot be written"), AtomicFile("/dev/full") as file:
        file.write(b"x")


def test_named_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with AtomicFile(pipe) as file:
        file.write(b"through")
    reader.join(timeout=10)
    assert received == [b"through"]


def run_python(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, **options)


def test_stdout_gets_every_write_at_once() -> None:
    code = "import os\nfrom codec.atomic import AtomicFile\nprint('text before')\n"
    done = run_python(code + "with AtomicFile('-') as f: f.write(b'abc'); f.write(b'def'); os._exit(0)")
    assert done.stdout == b"text before\nabcdef"


def test_closed_pipe_is_told_by_its_own_error() -> None:
    code = """
import os, sys
from codec.atomic import AtomicFile
read, write = os.pipe()
os.dup2(write, 1); os.close(write); os.close(read)
try:
    with AtomicFile('-') as file: file.write(bytes(100))
except BrokenPipeError:
    sys.stderr.write('told')
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, b"told")


def test_missing_stdout_is_one_sentence() -> None:
    done = run_python(
        "import os; os.close(1)\nimport sys; sys.stdout = None\nfrom codec.atomic import AtomicFile\n"
        "try: AtomicFile('-')\nexcept Exception as e: sys.stderr.write(type(e).__name__)"
    )
    assert done.stderr == b"UsageError"


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import time
from codec.atomic import AtomicFile
with AtomicFile({str(tmp_path / "out.bin")!r}) as file:
    file.write(b'half')
    print('ready', flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) != 0
    assert os.listdir(tmp_path) == []
