"""The output of a run on disk: what its program wrote, piece by piece, in order of arrival.

A frame is a header of 13 bytes, little-endian, then its bytes: the time in nanoseconds since
1970 UTC (8), the stream (1), the number of bytes that follow (4). The file is only ever
appended to, so that a reader remembers nothing but an offset. Bytes are moved from the program's
pipe to the file by the system, so that a supervisor that is killed has none of them in its hands:
the last frame may then be short of some, which are still in the pipe, and the next supervisor
completes it. Only a crash of the machine cuts a frame for good; what is there of it is output
all the same.
"""

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Iterator, Mapping

FORMAT = 1
HEADER = struct.Struct("<QBI")
PIECE_BYTES = 64 * 1024
"""The most that one frame holds."""

STDOUT, STDERR, LOST = 1, 2, 3
"""The streams; a frame of `LOST` holds, as text, how many bytes could not be written."""

READ_BYTES = 4 * (HEADER.size + PIECE_BYTES)


class FrameWriter:
    """Appends frames. While the disk is full it counts what is lost, and says so afterwards."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size
        self._lost_bytes = 0

    @property
    def size(self) -> int:
        """Where the next frame begins."""
        return self._size

    def complete(self, pipes: Mapping[int, int], boundary: int) -> None:
        """Complete the last frame of a writer that was killed, from the pipe of its stream.

        Args:
            pipes: The pipes, by stream.
            boundary: Where some frame begins; the later, the less there is to look through.
        """
        end, self._size = self._size, boundary
        while self._size + HEADER.size <= end:
            header = os.pread(self._file, HEADER.size, self._size)
            time_nanoseconds, stream, length = HEADER.unpack(header)
            begin = self._size
            self._size = min(begin + HEADER.size + length, end)
            missing = begin + HEADER.size + length - self._size
            if missing:
                there = min(missing, waiting_bytes(pipes[stream]))
                missing_still = missing - self._move(pipes[stream], there)
                kept = HEADER.pack(time_nanoseconds, stream, length - missing_still)
                os.pwrite(self._file, kept, begin)
                self._lost_bytes += missing - there
        os.ftruncate(self._file, self._size)

    def take(self, stream: int, pipe: int, time_nanoseconds: int) -> bool:
        """Append what waits in a pipe, a piece of it at most, and return whether there was any.

        What was appended survives the death of every process when this returns.
        """
        count = min(waiting_bytes(pipe), PIECE_BYTES)
        if not count:
            return False
        self.has_said_what_is_lost(time_nanoseconds)
        begin = self._size
        if self._lost_bytes or not self._write(HEADER.pack(time_nanoseconds, stream, count)):
            self._lost_bytes += len(os.read(pipe, count))
            return True
        missing = count - self._move(pipe, count)
        if missing and not self._write(os.read(pipe, missing)):
            os.ftruncate(self._file, begin)  # never half a frame with another behind it
            self._size = begin
            self._lost_bytes += count
        return True

    def has_said_what_is_lost(self, time_nanoseconds: int) -> bool:
        """Append how much was lost so far, if anything was, and return whether that is said."""
        if self._lost_bytes:
            lost = str(self._lost_bytes).encode()
            if self._write(HEADER.pack(time_nanoseconds, LOST, len(lost)) + lost):
                self._lost_bytes = 0
        return not self._lost_bytes

    def sync(self) -> None:
        """Make what was appended survive the crash of the machine, if the disk has room."""
        try:
            os.fdatasync(self._file)
        except OSError:
            self._lost_bytes += 1

    def _move(self, pipe: int, count: int) -> int:
        """Let the system move bytes that wait in a pipe, and return how many it did."""
        moved = 0
        while moved < count:
            try:
                moved += os.splice(pipe, self._file, count - moved, offset_dst=self._size + moved)
            except OSError:  # the disk is full, or it is one that cannot
                break
        self._size += moved
        return moved

    def _write(self, data: bytes) -> bool:
        try:
            written = os.pwrite(self._file, data, self._size)
        except OSError:
            written = 0
        if written == len(data):
            self._size += written
            return True
        os.ftruncate(self._file, self._size)
        return False


def waiting_bytes(pipe: int) -> int:
    """Return how many bytes can be read from a pipe now."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def read_frames(path: str, offset: int, *, ended: bool) -> Iterator[tuple[int, int, bytes, int]]:
    """Return some of the frames that begin at `offset`: time, stream, bytes, where the next begins.

    Nothing means that no frame is complete yet. With `ended`, nobody writes any more, and what
    is there of a frame that was cut short is returned too.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        data = os.pread(file, READ_BYTES, offset)
    finally:
        os.close(file)
    place = 0
    while place + HEADER.size <= len(data):
        time_nanoseconds, stream, length = HEADER.unpack_from(data, place)
        begin = place + HEADER.size
        if begin + length > len(data) and not (ended and len(data) < READ_BYTES):
            return
        piece = data[begin : begin + length]
        place = begin + len(piece)
        yield time_nanoseconds, stream, piece, offset + place
