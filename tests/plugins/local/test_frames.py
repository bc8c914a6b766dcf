"""The output file: nothing but whole frames, whatever the disk does."""

import os
import resource
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trackside_runner_local.frames import HEADER, LOST, STDERR, STDOUT, FrameWriter, read_frames

PIECE = b"x" * 1000


class Pipe:
    """What a program writes to."""

    def __init__(self) -> None:
        self.end, self._begin = os.pipe()

    def write(self, data: bytes) -> int:
        """Write, and return where a supervisor reads."""
        os.write(self._begin, data)
        return self.end

    def close(self) -> None:
        os.close(self.end)
        os.close(self._begin)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@contextmanager
def largest_file(size: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def everything(path: Path, *, ended: bool = False) -> list[tuple[int, int, bytes]]:
    found: list[tuple[int, int, bytes]] = []
    offset = -1
    following = 0
    while offset != following:
        offset = following
        for time, stream, piece, position in read_frames(str(path), offset, ended=ended):
            found.append((time, stream, piece))
            following = position
    return found


def test_frames_come_back_as_they_were_written(tmp_path: Path, pipe: Pipe) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))
    written = [
        (number, STDOUT if number % 3 else STDERR, b"x" * number) for number in range(1, 900)
    ]

    for time, stream, piece in written:
        writer.take(stream, pipe.write(piece), time)

    assert everything(path) == written


def test_frame_in_the_making_is_waited_for(tmp_path: Path, pipe: Pipe) -> None:
    path = tmp_path / "output"
    FrameWriter(str(path)).take(STDOUT, pipe.write(PIECE), 1)
    data = path.read_bytes()

    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert everything(path) == []


@pytest.mark.parametrize("length", [0, 5, HEADER.size, HEADER.size + 400])
def test_frame_cut_by_a_crash_gives_what_is_there(tmp_path: Path, pipe: Pipe, length: int) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))
    writer.take(STDOUT, pipe.write(b"first"), 1)
    begin = writer.size
    writer.take(STDOUT, pipe.write(PIECE), 2)
    path.write_bytes(path.read_bytes()[: begin + length])

    pieces = [piece for _, _, piece in everything(path, ended=True)]

    assert b"".join(pieces) == b"first" + PIECE[: max(0, length - HEADER.size)]


@pytest.mark.parametrize("length", [0, 5, HEADER.size, HEADER.size + 400])
def test_frame_of_a_killed_writer_is_completed_by_the_next(
    tmp_path: Path, pipe: Pipe, length: int
) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))
    writer.take(STDOUT, pipe.write(b"first"), 1)
    begin = writer.size
    writer.take(STDOUT, pipe.write(PIECE), 2)
    path.write_bytes(path.read_bytes()[: begin + length])
    pipe.write(PIECE[max(0, length - HEADER.size) :])

    following = FrameWriter(str(path))
    following.complete({STDOUT: pipe.end}, begin if length % 2 else 0)
    following.take(STDOUT, pipe.write(b"last"), 3)

    pieces = [piece for _, _, piece in everything(path)]
    assert b"".join(pieces) == b"first" + PIECE + b"last"


def test_frame_that_nobody_can_complete_gives_what_is_there(tmp_path: Path, pipe: Pipe) -> None:
    path = tmp_path / "output"
    FrameWriter(str(path)).take(STDOUT, pipe.write(PIECE), 1)
    path.write_bytes(path.read_bytes()[:-400])

    following = FrameWriter(str(path))
    following.complete({STDOUT: pipe.end}, 0)
    following.take(STDERR, pipe.write(b"last"), 2)

    streams = [(stream, piece) for _, stream, piece in everything(path)]
    assert streams == [(STDOUT, PIECE[:-400]), (LOST, b"400"), (STDERR, b"last")]


def test_full_disk_loses_whole_pieces_and_says_how_much(tmp_path: Path, pipe: Pipe) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))

    with largest_file(3045):
        for time in range(5):
            writer.take(STDOUT, pipe.write(PIECE), time)
    writer.take(STDOUT, pipe.write(b"again"), 9)
    writer.sync()

    streams = [(stream, piece) for _, stream, piece in everything(path)]
    assert streams == [*[(STDOUT, PIECE)] * 3, (LOST, b"2000"), (STDOUT, b"again")]


def test_missing_file_has_no_frames(tmp_path: Path) -> None:
    assert everything(tmp_path / "nothing") == []
