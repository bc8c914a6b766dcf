"""Outputs that are on this machine, found by their location and known by their checksum."""

from collections.abc import Generator
from pathlib import Path
from typing import Final

from trackside.contents import contents_of
from trackside_protos.runs.v1.output_pb2 import Output, OutputFile

_PIECE: Final = 256 << 10


def local_copy(output: Output) -> Path | None:
    """Return where an output is on this machine, if it is there as it was published.

    Reads all of it: without a checksum, or with another one, it may be anybody's file that
    happens to have the same path.
    """
    path = Path(output.location)
    if not output.checksum or not path.is_absolute():
        return None
    try:
        is_plain = not path.is_symlink() and (path.is_file() or path.is_dir())
        contents = contents_of(path) if is_plain else None
    except OSError:
        return None
    if contents is None or contents.checksum != output.checksum:
        return None
    return path if contents.size_bytes == output.size_bytes else None


def local_file(path: Path) -> OutputFile:
    """Describe a file as an agent would."""
    found = path.stat()
    return OutputFile(size_bytes=found.st_size, version=f"{found.st_ino:x}-{found.st_mtime_ns:x}")


def local_pieces(path: Path, offset: int, length: int) -> Generator[bytes]:
    """Yield a file from an offset on; length 0: to the end."""
    with path.open("rb") as file:
        file.seek(offset)
        left = length or None
        while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
            yield piece
            if left is not None:
                left -= len(piece)
                if not left:
                    return
