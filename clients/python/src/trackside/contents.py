"""What is in a file, or below a folder: sizes, compressed size, checksum.

A link below a folder is not of the folder: it is neither followed nor counted, and neither is
what else is no plain file, or has a name that is no UTF-8.
"""

import errno
import hashlib
import os
import zlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_CHUNK: Final = 1 << 20
_MOST_COMPRESSED: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read of a file, or of all files below a folder."""

    size_bytes: int
    compressed_bytes: int | None
    """As a zip archive has it; None of what is too large to be compressed by the way."""
    checksum: str


def can_be_read(path: Path) -> bool:
    """Return whether it is a file or folder: a device may have no end, a pipe no beginning."""
    return path.is_file() or path.is_dir()


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return sum((path / each).lstat().st_size for each in files_below(path))
    return path.stat().st_size


def contents_of(path: Path) -> Contents:
    """Read a file, or the names and contents below a folder, once. May take minutes.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_dir():
        return _contents_of_file(path)
    found = {name: _contents_of_file(path / name) for name in files_below(path)}
    compressed = [contents.compressed_bytes for contents in found.values()]
    known = [each for each in compressed if each is not None]
    return Contents(
        sum(contents.size_bytes for contents in found.values()),
        sum(known) if len(known) == len(compressed) else None,
        folder_checksum((name, contents.checksum) for name, contents in found.items()),
    )


def folder_checksum(checksums: Iterable[tuple[str, str]]) -> str:
    """Return the checksum of a folder from the paths and checksums of its files."""
    digest = hashlib.sha256()
    for name, checksum in sorted(checksums, key=lambda each: PurePosixPath(each[0]).parts):
        digest.update(f"{name}\0{checksum}\n".encode())
    return checksum_text(digest.hexdigest())


def checksum_text(sha256: str) -> str:
    """Return a SHA-256 as it is told."""
    return f"sha256:{sha256}"


def files_below(folder: Path) -> Generator[str]:
    """Yield the path of every file below a folder, relative to it, with `/` between the names.

    Raises:
        OSError: The folder, or one below it, cannot be listed.
    """
    for here, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            path = Path(here, name)
            if _is_text(str(path)) and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def hash_file(path: Path, update: Callable[[bytes], object]) -> int:
    """Give all that is in a file to `update`, piece by piece, and return how much it was.

    Raises:
        OSError: It cannot be read.
    """
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            update(chunk)
    return size


def _contents_of_file(path: Path) -> Contents:
    if not can_be_read(path):
        raise OSError(errno.EINVAL, "it is neither a file nor a folder", str(path))
    digest = hashlib.sha256()
    squeezer = zlib.compressobj() if path.stat().st_size <= _MOST_COMPRESSED else None
    compressed = 0

    def take(chunk: bytes) -> None:
        nonlocal compressed
        digest.update(chunk)
        if squeezer is not None:
            compressed += len(squeezer.compress(chunk))

    size = hash_file(path, take)
    checksum = checksum_text(digest.hexdigest())
    if squeezer is None:
        return Contents(size, None, checksum)
    return Contents(size, compressed + len(squeezer.flush()), checksum)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _raise(error: OSError) -> None:
    raise error
