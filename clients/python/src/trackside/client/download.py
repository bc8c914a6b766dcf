"""Puts a file on this machine's disk: in pieces, gone on with, checked, and whole or not there.

What has come stands beside the target as a hidden `.part`, named after what is downloaded, so
that the next try goes on with it. It takes the target's name when it is known to be right.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from trackside.client.errors import ConflictError, DamagedOutputError
from trackside.client.placement import placed
from trackside.contents import checksum_text, contents_of, folder_checksum
from trackside_protos.runs.v1.output_pb2 import OutputFile

Progress = Callable[[int, int], None]
"""Told how many bytes there are so far, and how many there will be."""

_DAMAGED: Final = "what came is not what was published: its checksum differs"
_CHUNK: Final = 1 << 20
_LONGEST_NAME: Final = 200
_PART_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Pieces(Protocol):
    """A file that comes in pieces."""

    file: OutputFile

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file comes from."""

    key: str
    """Names what is downloaded: what has come of it before is gone on with."""
    begin: Callable[[int, str], "AbstractContextManager[Pieces]"]
    """Begins to read from an offset, of a version or of any."""
    checksum: str = ""
    """What must come; empty: not known."""


def require_free(target: Path, checksum: str, *, overwrite: bool) -> bool:
    """Return whether something must be put there; not so when just that is there already.

    Raises:
        ConflictError: Something else is there that must not be written over.
    """
    if not os.path.lexists(target):
        return True
    is_plain = not target.is_symlink() and (target.is_file() or target.is_dir())
    if is_plain and checksum and contents_of(target).checksum == checksum:
        return False
    if not overwrite or target.is_dir():
        message = f"{target} exists already"
        hint = "--force, or overwrite=True, writes over files; another --to names another place"
        raise ConflictError(message, hint=hint)
    return True


def download_file(
    source: Source, target: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> None:
    """Have a file at the target.

    Raises:
        ConflictError: Something is there, or it is being downloaded already.
        DamagedOutputError: What came is not what was published.
        TracksideError: It cannot be read.
        OSError: It cannot be written.
    """
    if not require_free(target, source.checksum, overwrite=overwrite):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    report = progress or _unreported
    with source.begin(0, "") as pieces:
        file = pieces.file
        with Part.taken(target, f"{source.key}\0{file.version}\0{file.size_bytes}") as part:
            _fill(part, source, pieces, report)
            part.become(target, overwrite=overwrite)


def _unreported(_done: int, _size: int) -> None:
    """Tell nobody."""


def _fill(part: "Part", source: Source, pieces: Pieces, report: Progress) -> None:
    file = pieces.file
    is_known = bool(file.version) and 0 < part.size <= file.size_bytes
    if is_known:
        part.resume()
        with source.begin(part.size, file.version) as rest:
            part.take(rest, file.size_bytes, report)
        if part.is_right(file.size_bytes, source.checksum):
            return
    part.restart()
    if is_known:  # what had come before was not what it seemed
        with source.begin(0, file.version) as again:
            part.take(again, file.size_bytes, report)
    else:
        part.take(pieces, file.size_bytes, report)
    if not part.is_right(file.size_bytes, source.checksum):
        part.remove()
        raise DamagedOutputError(_DAMAGED)


def download_folder(
    sources: Mapping[str, tuple[Source, int]],
    target: Path,
    *,
    key: str,
    checksum: str,
    progress: Progress | None = None,
) -> None:
    """Have a folder at the target: these files of these sizes, each from its source.

    Raises:
        ConflictError: Something is there.
        DamagedOutputError: What came is not what was published.
        TracksideError: It cannot be read.
        OSError: It cannot be written.
    """
    if not require_free(target, checksum, overwrite=False):
        return
    part = part_of(target, key)
    part.mkdir(parents=True, exist_ok=True)
    _require_ours(part, part.lstat(), is_kind=stat.S_ISDIR(part.lstat().st_mode))
    total = sum(size for _, size in sources.values())
    places = {path: part / place for path, place in placed(sources).items()}
    done = 0
    for path, (source, size) in sources.items():
        place = places[path]
        if not (place.is_file() and place.stat().st_size == size):
            report = _counted_on(progress, done, total)
            download_file(source, place, overwrite=True, progress=report)
        done += size
    came = folder_checksum((path, contents_of(place).checksum) for path, place in places.items())
    if checksum.startswith(checksum_text("")) and came != checksum:
        shutil.rmtree(part)
        raise DamagedOutputError(_DAMAGED)
    part.rename(target)


def _counted_on(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return what counts one file among the others of its folder."""
    if progress is None:
        return None
    return lambda done, _size: progress(before + done, total)


def _require_ours(path: Path, found: os.stat_result, *, is_kind: bool) -> None:
    if not is_kind or found.st_uid != os.geteuid():
        message = f"{path} is not ours"
        raise FileExistsError(message)


def _require_still(path: Path, descriptor: int) -> None:
    """Refuse what is not our own plain file, or whose name was gone before we had locked it."""
    found = os.fstat(descriptor)
    _require_ours(path, found, is_kind=stat.S_ISREG(found.st_mode))
    try:
        present = path.stat()
    except FileNotFoundError:
        raise BlockingIOError from None
    if not os.path.samestat(found, present):
        raise BlockingIOError


class Part:
    """What has come of a file so far. Locked: nobody else writes to it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._file = os.fdopen(descriptor, "r+b")
        self._digest = hashlib.sha256()
        self.size: int = os.fstat(descriptor).st_size

    @classmethod
    def taken(cls, target: Path, key: str) -> Self:
        """Return the part of a target, with what had come of it before.

        Raises:
            ConflictError: Somebody is writing to it.
            OSError: It cannot be made, or is not ours.
        """
        path = part_of(target, key)
        descriptor = os.open(path, _PART_FLAGS, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _require_still(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            message = f"{target} is being downloaded by another program"
            raise ConflictError(message) from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.size:
            self.remove()
        self._file.close()

    def resume(self) -> None:
        """Count what is there as come."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._digest.update(chunk)

    def restart(self) -> None:
        """Drop what is there."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.size = 0

    def take(self, pieces: Pieces, size: int, report: Progress) -> None:
        """Add all that comes."""
        report(self.size, size)
        try:
            for piece in pieces:
                self._file.write(piece)
                self._digest.update(piece)
                self.size += len(piece)
                report(self.size, size)
        finally:
            self._file.flush()

    def is_right(self, size: int, checksum: str) -> bool:
        """Return whether this is all, and what was published if that is known."""
        known = checksum.startswith(checksum_text(""))
        is_it = not known or checksum == checksum_text(self._digest.hexdigest())
        return self.size == size and is_it

    def become(self, target: Path, *, overwrite: bool) -> None:
        """Take the target's name, durably.

        Raises:
            ConflictError: Something is there by now.
        """
        os.fsync(self._file.fileno())
        if overwrite:
            self._path.replace(target)
            return
        try:
            target.hardlink_to(self._path)  # which, other than a renaming, replaces nothing
        except FileExistsError:
            message = f"{target} exists already"
            raise ConflictError(message) from None
        except OSError:  # a file system without
            self._path.rename(target)
        else:
            self._path.unlink()

    def remove(self) -> None:
        """Drop it for good."""
        self.size = 0
        with suppress(FileNotFoundError):
            self._path.unlink()


def part_of(target: Path, key: str) -> Path:
    """Return where what comes of something stands until it takes the target's name."""
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:12]
    name = target.name.encode(errors="surrogateescape")[:_LONGEST_NAME].decode(errors="ignore")
    return target.with_name(f".{name}.{digest}.part")
