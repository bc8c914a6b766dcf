"""Files and folders, described: kind, size, compressed size, checksum."""

import errno
import hashlib
import mimetypes
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackside_protos.runs.v1.output_pb2 import Output, OutputKind

KINDS: Final = {
    "data": OutputKind.OUTPUT_KIND_DATA,
    "report": OutputKind.OUTPUT_KIND_REPORT,
    "model": OutputKind.OUTPUT_KIND_MODEL,
}
_CHUNK: Final = 1 << 20
_MOST_COMPRESSED: Final = 256 << 20


def output_of(path: Path, base: Path) -> Output:
    """Describe a file, without its checksum. It may have vanished or never been there."""
    absolute = path.absolute()
    known = absolute.relative_to(base) if absolute.is_relative_to(base) else absolute
    output = Output(
        path=str(known),
        location=str(absolute),
        media_type=mimetypes.guess_type(path.name)[0] or "",
    )
    try:
        output.size_bytes = size_of(absolute)
        output.exists = _can_be_read(absolute)
    except OSError:
        output.exists = False
    return output


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read of a file, or of all files below a folder."""

    size_bytes: int
    compressed_bytes: int | None
    """As a zip archive has it; None of what is too large to be compressed by the way."""
    checksum: str


def contents_of(path: Path) -> Contents:
    """Read a file, or the names and contents below a folder, once. May take minutes.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_dir():
        return _contents_of_file(path)
    digest = hashlib.sha256()
    size = 0
    compressed: int | None = 0
    for each in sorted(path.rglob("*")):
        if each.is_file():
            contents = _contents_of_file(each)
            digest.update(f"{each.relative_to(path)}\0{contents.checksum}\n".encode())
            size += contents.size_bytes
            compressed = _sum(compressed, contents.compressed_bytes)
    return Contents(size, compressed, f"sha256:{digest.hexdigest()}")


def _can_be_read(path: Path) -> bool:
    """Return whether it is a file or folder: a device may have no end, a pipe no beginning."""
    return path.is_file() or path.is_dir()


def _contents_of_file(path: Path) -> Contents:
    if not _can_be_read(path):
        raise OSError(errno.EINVAL, "it is neither a file nor a folder", str(path))
    digest = hashlib.sha256()
    squeezer = zlib.compressobj() if path.stat().st_size <= _MOST_COMPRESSED else None
    size = compressed = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
            if squeezer is not None:
                compressed += len(squeezer.compress(chunk))
    if squeezer is None:
        return Contents(size, None, f"sha256:{digest.hexdigest()}")
    return Contents(size, compressed + len(squeezer.flush()), f"sha256:{digest.hexdigest()}")


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
