"""The output file: nothing but whole frames, whatever the disk does."""

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trackside_runner_local.frames import HEADER, LOST, STDERR, STDOUT, FrameWriter, read_frames

PIECE = b"x" * 1000


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


def test_frames_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))
    written = [(number, STDOUT if number % 3 else STDERR, b"x" * number) for number in range(900)]

    for time, stream, piece in written:
        writer.append(stream, piece, time)

    assert everything(path) == written


def test_frame_in_the_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "output"
    FrameWriter(str(path)).append(STDOUT, PIECE, 1)
    data = path.read_bytes()

    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert everything(path) == []


@pytest.mark.parametrize("length", [0, 5, HEADER.size, HEADER.size + 400])
def test_frame_cut_by_a_crash_gives_what_is_there(tmp_path: Path, length: int) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))
    writer.append(STDOUT, b"first", 1)
    begin = path.stat().st_size
    writer.append(STDOUT, PIECE, 2)
    path.write_bytes(path.read_bytes()[: begin + length])

    pieces = [piece for _, _, piece in everything(path, ended=True)]

    assert b"".join(pieces) == b"first" + PIECE[: max(0, length - HEADER.size)]


def test_full_disk_loses_whole_pieces_and_says_how_much(tmp_path: Path) -> None:
    path = tmp_path / "output"
    writer = FrameWriter(str(path))

    with largest_file(3045):
        for time in range(5):
            writer.append(STDOUT, PIECE, time)
    writer.append(STDOUT, b"again", 9)
    writer.sync()

    streams = [(stream, piece) for _, stream, piece in everything(path)]
    assert streams == [*[(STDOUT, PIECE)] * 3, (LOST, b"2000"), (STDOUT, b"again")]


def test_missing_file_has_no_frames(tmp_path: Path) -> None:
    assert everything(tmp_path / "nothing") == []
