import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.eventually import eventually
from support.programs import pause
from support.small_disk import small_disk
from trackside.capture import descriptors
from trackside.capture.descriptors import CapturedDescriptor, CaptureError
from trackside.capture.masking import Masker


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    return os.open(tmp_path / "seen", os.O_RDWR | os.O_CREAT)


def seen(descriptor: int) -> bytes:
    return os.pread(descriptor, 1 << 20, 0)


def read_line(terminal: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):  # what was written at once may come in pieces
        line += os.read(terminal, 100)
    return line


def test_what_is_written_is_captured_and_seen(descriptor: int, tmp_path: Path) -> None:
    captured = CapturedDescriptor(descriptor, tmp_path, Masker([]))

    os.write(descriptor, b"one\n")
    subprocess.run(["/bin/echo", "two"], stdout=descriptor, check=True)
    lines = captured.stop()
    os.write(descriptor, b"three\n")

    assert [line.message for line in lines] == ["one", "two"]
    assert seen(descriptor) == b"one\ntwo\nthree\n"
    os.close(descriptor)


def test_what_is_captured_leaves_no_file(descriptor: int, tmp_path: Path) -> None:
    captured = CapturedDescriptor(descriptor, tmp_path / "folder", Masker([]))

    left = list((tmp_path / "folder").iterdir())

    assert left == []
    captured.stop()
    os.close(descriptor)


def test_secrets_are_masked_in_the_log_alone(descriptor: int, tmp_path: Path) -> None:
    captured = CapturedDescriptor(descriptor, tmp_path, Masker(["hunter22"]))

    os.write(descriptor, b"it is hunter22\n")
    lines = captured.stop()

    assert [line.message for line in lines] == ["it is ********"]
    assert seen(descriptor) == b"it is hunter22\n"
    os.close(descriptor)


def test_more_than_a_pipe_takes_blocks_nobody_who_holds_pythons_lock(tmp_path: Path) -> None:
    source = """
import ctypes, os, sys
from pathlib import Path
from trackside.capture.descriptors import CapturedDescriptor
from trackside.capture.masking import Masker
captured = CapturedDescriptor(1, Path(sys.argv[1]), Masker([]))
write = ctypes.PyDLL(None).write  # keeps Python's lock
data = b"x" * 99 + b"\\n"
for _ in range(100_000):
    write(1, data, len(data))
lines = captured.stop()
print(len(lines), file=sys.stderr)
"""
    ended = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", source, tmp_path], capture_output=True, check=True, timeout=60
    )

    assert len(ended.stdout) == 10_000_000
    assert ended.stderr == b"100000\n"


def test_a_child_that_lives_on_holds_nothing_up(descriptor: int, tmp_path: Path) -> None:
    captured = CapturedDescriptor(descriptor, tmp_path, Masker([]))
    child = subprocess.Popen(["/bin/sh", "-c", "echo here; read line"], stdin=-1, stdout=descriptor)
    lines = []
    while not lines:
        lines = captured.read(0)

    captured.stop()

    assert [line.message for line in lines] == ["here"]
    child.communicate()
    os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process in /proc")
def test_what_a_busy_machine_copies_late_is_waited_for(
    descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_BUSY_SECONDS", "_CATCH_UP_SECONDS"):
        monkeypatch.setattr(descriptors, name, 60.0)
    captured = CapturedDescriptor(descriptor, tmp_path, Masker([]))
    copying = eventually(lambda: copies_into(tmp_path))
    pause(copying)
    os.write(descriptor, b"late\n")
    waiting: list[int] = []
    unread = descriptors._unread

    def see_that_it_waits(sink: int) -> int:
        waiting.append(unread(sink))
        if len(waiting) > 2:
            os.kill(copying, signal.SIGCONT)
        return waiting[-1]

    monkeypatch.setattr(descriptors, "_unread", see_that_it_waits)
    lines = captured.stop()

    assert [line.message for line in lines] == ["late"]
    assert (waiting[0], waiting[-1]) == (5, 0)
    os.close(descriptor)


def copies_into(folder: Path) -> int | None:
    """Return the process that copies into a file of this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder) in str((process / "fd" / "9").readlink()) and "tee" in (
                process / "comm"
            ).read_text("utf-8"):
                return int(process.name)
    return None


def test_programs_do_not_find_a_child_that_is_not_theirs(tmp_path: Path) -> None:
    source = """
import os, sys
from pathlib import Path
from trackside.capture.descriptors import CapturedDescriptor
from trackside.capture.masking import Masker
captured = CapturedDescriptor(1, Path(sys.argv[1]), Masker([]))
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none")
captured.stop()
"""
    ended = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", source, tmp_path], capture_output=True, check=True, text=True
    )

    assert ended.stdout == "none\n"


def test_a_closed_descriptor_cannot_be_captured(tmp_path: Path) -> None:
    closed = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    os.close(closed)

    with pytest.raises(CaptureError):
        CapturedDescriptor(closed, tmp_path, Masker([]))


def test_a_terminal_stays_one(tmp_path: Path) -> None:
    outer, inner = os.openpty()
    captured = CapturedDescriptor(inner, tmp_path, Masker([]))

    os.write(inner, b"hello\n")
    is_terminal = os.isatty(inner)
    lines = captured.stop()

    assert is_terminal
    assert [line.message for line in lines] == ["hello"]
    assert read_line(outer) == b"hello\r\n"
    assert captured.complaint == ""
    os.close(outer)
    os.close(inner)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_missing_is_complained_of(*, is_terminal: bool, tmp_path: Path) -> None:
    outer, inner = os.openpty() if is_terminal else os.pipe()
    with small_disk(tmp_path) as disk:
        captured = CapturedDescriptor(inner, disk, Masker([]))
        # Drained, so that whoever writes need not wait for ever.
        reader = threading.Thread(target=_drain, args=[outer])
        reader.start()
        for _ in range(60):
            os.write(inner, b"y" * 100_000 + b"\n")
        captured.stop()
        os.close(inner)
        reader.join()
        os.close(outer)

    assert "No space left on device" in captured.complaint


def _drain(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # what a terminal says at its end
        while os.read(descriptor, 1 << 16):
            pass
