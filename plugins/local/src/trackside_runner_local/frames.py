"""The output of a run on disk: what its program wrote, piece by piece, in order of arrival.

A frame is a header of 13 bytes, little-endian, then its bytes: the time in nanoseconds since
1970 UTC (8), the stream (1), the number of bytes that follow (4). The file is only ever
appended to, so that a reader remembers nothing but an offset. The last frame may be cut short by
a crash of the machine or of the supervisor; what is there of it is output all the same.
"""

import os
import struct
from collections.abc import Iterator

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
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        self._lost_bytes = 0

    def append(self, stream: int, piece: bytes, time_nanoseconds: int) -> None:
        """Append what a stream wrote. Survives the death of every process when this returns."""
        self.has_said_what_is_lost(time_nanoseconds)
        header = HEADER.pack(time_nanoseconds, stream, len(piece))
        if self._lost_bytes or not self._write(header + piece):
            self._lost_bytes += len(piece)

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

    def _write(self, frame: bytes) -> bool:
        try:
            written = os.write(self._file, frame)
        except OSError:
            written = 0
        if written == len(frame):
            self._size += written
            return True
        os.ftruncate(self._file, self._size)  # never half a frame with another behind it
        return False


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
