"""Copies what goes to a file descriptor, of this process and of its children, into a file."""

import contextlib
import errno
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path
from typing import Final

from trackside.capture.lines import Line, LineCutter, pieces_of
from trackside.capture.masking import Masker

PROGRESS_SECONDS: Final = 5.0
"""How often the present state of a line that is drawn over and over is taken up."""

_CHUNK: Final = 1 << 20
_CATCH_UP_SECONDS: Final = 1.0
_BUSY_SECONDS: Final = 3.0
_LOOK_AGAIN_SECONDS: Final = 0.005
_MOST_ON_THE_WAY: Final = 64 << 10
_FREE_BYTES: Final = 4 << 20
_LONGEST_COMPLAINT: Final = 1_000
_PUNCH_HOLE_KEEP_SIZE: Final = 3

# The copying is done by another process, `tee`: a thread of ours would need Python's lock, and a
# library that holds it while it writes more than a pipe takes would wait for ever. It is started
# by a shell that ends at once, so that it is not our child: a program may wait for all of its
# children. The file has no name any more when the shell has ended. Interrupts are ignored, for
# they are meant for the program, whose last words are to be seen. What it complains of, such as a
# full disk, comes back through a pipe, of which the end says that everything was copied.
_FILE: Final = "/dev/fd/9"
_START: Final = f"""
trap '' INT QUIT TERM HUP
exec 8<&0 9>>"$1" && rm -f -- "$1" && {{ tee -a {_FILE} <&8 & }}
"""
_END_OF_TERMINAL: Final = os.strerror(errno.EIO).encode()


class CaptureError(Exception):
    """The output cannot be captured here; nothing was changed."""


class CapturedDescriptor:
    """One file descriptor, copied from construction until `stop`.

    Not thread-safe: `read` and `stop` are called by one thread at a time.
    """

    def __init__(self, descriptor: int, folder: Path, masker: Masker) -> None:
        """Begin to capture.

        Raises:
            CaptureError: It cannot be.
        """
        self._descriptor = descriptor
        self._masked = masker.stream()
        self._cutter = LineCutter()
        self._offset = self._freed = 0
        self._shown = b""
        self._said = b""
        self._is_terminal = os.isatty(descriptor)
        self._next_progress = 0.0
        self.complaint: str = ""
        """What the copying has to complain of; then some of what was written is missing."""
        try:
            self._begin(folder)
        except (OSError, subprocess.SubprocessError, termios.error) as error:
            raise CaptureError(str(error)) from error

    def read(self, now: float) -> list[Line]:
        """Return the lines that ended since the last call; `now` is on the monotonic clock."""
        lines = self._take_up()
        present = self._cutter.present()
        if self._cutter.is_redrawn and present != self._shown and now >= self._next_progress:
            self._shown, self._next_progress = present, now + PROGRESS_SECONDS
            lines += pieces_of(present)
        return lines

    def stop(self) -> list[Line]:
        """Write to where it went before; return the last lines."""
        _flush()
        sink = self._held_sink()
        os.dup2(self._saved, self._descriptor)
        os.close(self._saved)
        if sink is not None:
            self._wait_taken(sink)
            os.close(sink)
        # Children that still run hold the other end open, so that the copying goes on.
        end = time.monotonic() + _CATCH_UP_SECONDS
        while not self._has_ended() and (left := end - time.monotonic()) > 0:
            select.select([self._done], [], [], left)
        lines = self._take_up()
        lines += self._cutter.feed(self._masked.end())
        lines += self._cutter.end()
        os.close(self._done)
        os.close(self._file)
        return lines

    def _begin(self, folder: Path) -> None:
        _flush()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"output-{os.getpid()}-{self._descriptor}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.ExitStack() as undo:
            self._saved = os.dup(self._descriptor)
            undo.callback(os.close, self._saved)
            self._file = os.open(path, flags, 0o600)
            undo.callback(os.close, self._file)
            undo.callback(path.unlink, missing_ok=True)
            source, sink = _terminal(self._saved) if self._is_terminal else os.pipe()
            undo.callback(os.close, source)
            undo.callback(os.close, sink)
            self._done, held = os.pipe()
            os.set_blocking(self._done, False)
            undo.callback(os.close, self._done)
            undo.callback(os.close, held)
            subprocess.run(  # noqa: S603 - our own words; the path stands apart from them
                ["/bin/sh", "-c", _START, "sh", path],
                stdin=source,
                stdout=self._saved,
                stderr=held,
                env={**os.environ, "LC_ALL": "C"},  # in which its complaints are understood
                check=True,
            )
            os.dup2(sink, self._descriptor)
            undo.pop_all()
        for descriptor in (source, sink, held):
            os.close(descriptor)

    def _held_sink(self) -> int | None:
        """Return another descriptor of what is written to; None when there can be no more."""
        try:
            return os.dup(self._descriptor)
        except OSError:
            return None

    def _wait_taken(self, sink: int) -> None:
        """Wait until what was written by now is being copied; a busy machine takes its time."""
        end = time.monotonic() + _BUSY_SECONDS
        left, before = _unread(sink), os.fstat(self._file).st_size
        while _unread(sink) and not self._has_ended() and time.monotonic() < end:
            # What children write goes on coming, behind ours.
            if os.fstat(self._file).st_size - before >= left + _MOST_ON_THE_WAY:
                return
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _has_ended(self) -> bool:
        """Say whether all was copied; take up what the copying complains of."""
        has_ended = False
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._done, _LONGEST_COMPLAINT):
                self._said += text
            has_ended = True
        *lines, self._said = self._said.split(b"\n")  # of which one may come in parts
        if has_ended:
            lines.append(self._said)
        for line in lines:
            if not self._is_end_of_terminal(line):
                self.complaint = self.complaint or line.decode(errors="replace").strip()
        return has_ended

    def _is_end_of_terminal(self, complaint: bytes) -> bool:
        """Say whether this is how Linux tells that nobody has a terminal open any more (pty(7))."""
        is_of_reading = _FILE.encode() not in complaint
        return self._is_terminal and is_of_reading and complaint.endswith(_END_OF_TERMINAL)

    def _take_up(self) -> list[Line]:
        self._has_ended()
        lines: list[Line] = []
        while chunk := os.pread(self._file, _CHUNK, self._offset):
            self._offset += len(chunk)
            lines += self._cutter.feed(self._masked.feed(chunk))
        if self._offset - self._freed >= _FREE_BYTES:
            _free(self._file, self._offset)
            self._freed = self._offset
        return lines


def _unread(sink: int) -> int:
    """Return how many bytes wait in a pipe; 0 where the system does not tell."""
    try:
        return struct.unpack("i", fcntl.ioctl(sink, termios.FIONREAD, bytes(4)))[0]
    except OSError:
        return 0


def _free(file: int, end: int) -> None:
    """Give back the room of what was read, where the system can: nobody can cut the file."""
    import ctypes  # noqa: PLC0415 - only programs that write very much need it

    with contextlib.suppress(OSError, AttributeError):
        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        fallocate(file, _PUNCH_HOLE_KEEP_SIZE, 0, end)


def _terminal(model: int) -> tuple[int, int]:
    """Return both ends of a terminal like this one: programs draw otherwise where there is none."""
    source, sink = os.openpty()
    tty.setraw(sink)
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetwinsize(sink, termios.tcgetwinsize(model))
    return source, sink


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
