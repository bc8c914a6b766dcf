"""Deletes what runs have published on this machine, and nothing else.

Every name is looked up in the open folder before it, from the run's directory on, so that nothing
that is swapped meanwhile leads elsewhere: a link is never followed, another disk never entered.
What is deleted was read before, to the last byte: a file is known again by device, inode, size
and time of writing, and what does not have all of these is left alone.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from trackside_plugin_interface import (
    DoomedOutput,
    FileChangedError,
    FileGoneError,
    FileKeptError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    Handle,
)
from trackside_runner_local.directories import mount_of, opened_directory
from trackside_runner_local.opening import refusal

DEEPEST: Final = 128
"""How deep a folder may be: each level holds a descriptor meanwhile."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_CHUNK: Final = 1 << 20

Facts = Sequence[int]
"""Device, inode, size and time of writing: what a file is known again by."""


def examine(doomed: DoomedOutput) -> Handle:
    """Return what is there of an output, by which it is known again; see the plugin interface."""
    with _reached(doomed) as way:
        found = os.stat(way.name, dir_fd=way.folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            files = _examined_folder(way, doomed)
        else:
            with _opened_file(way.folder, way.name, way.mount) as descriptor:
                files = {"": _examined_file(descriptor, doomed)}
    return {"files": {path: list(facts) for path, facts in files.items()}}


def delete(doomed: DoomedOutput, examined: Handle) -> int:
    """Delete what was examined, and return how large that was; see the plugin interface."""
    files = cast("Mapping[str, Facts]", examined["files"])
    changed, size = 0, 0
    try:
        with _reached(doomed, may_be_gone=True) as way:
            for path, facts in files.items():
                if _is_removed(way, path, facts):
                    size += facts[2]
                else:
                    changed += 1
            if "" not in files:
                _prune_folder(way.folder, way.name, way.mount, DEEPEST)
            way.prune()
    except FileGoneError:  # with all that was in it
        return sum(facts[2] for facts in files.values())
    if changed:
        message = f"{changed} of {len(files)} files were written since, and are kept"
        raise FileChangedError(message)
    return size


@dataclass(slots=True)
class _Way:
    """The open folders from the run's directory to the one in which an output is."""

    name: str
    """The output's own name."""
    mount: tuple[int, str]
    """The disk on which all of it is."""
    folders: list[int] = field(default_factory=list[int])
    names: list[str] = field(default_factory=list[str])
    """Of the folders but the first."""

    @property
    def folder(self) -> int:
        """The folder in which the output is."""
        return self.folders[-1]

    def prune(self) -> None:
        """Remove the folders that are left empty, the innermost first, but not the directory."""
        for above, name in zip(self.folders[-2::-1], self.names[::-1], strict=True):
            if not _is_folder_removed(above, name):
                return


@contextmanager
def _reached(doomed: DoomedOutput, *, may_be_gone: bool = False) -> Generator[_Way]:
    """Open the way to an output.

    Raises:
        FileGoneError: There is no way to it any more. With `may_be_gone`, after the empty folders
            on what is left of the way were removed.
        FileUnreadableError: One of its subclasses where it is known why.
    """
    *above, name = _names_below(doomed)
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(opened_directory(doomed.directory))
            way = _Way(name, mount_of(directory), [directory])
            try:
                for each in above:
                    folder = _entered(way.folder, each, way.mount)
                    stack.callback(os.close, folder)
                    way.folders.append(folder)
                    way.names.append(each)
            except FileNotFoundError:
                if may_be_gone:
                    way.prune()
                raise
            yield way
        except OSError as error:
            raise _kept(error) from error


def _names_below(doomed: DoomedOutput) -> Sequence[str]:
    """Return the names on the way from the directory to the output.

    Raises:
        FileOutsideError: It is not below the directory.
    """
    path, location = doomed.directory.path.rstrip("/"), doomed.location
    names = [name for name in location.removeprefix(f"{path}/").split("/") if name]
    is_below = location.startswith(f"{path}/") and "\0" not in location
    if not is_below or not names or not {".", ".."}.isdisjoint(names):
        message = "it is not below the run's directory"
        raise FileOutsideError(message)
    return names


def _entered(folder: int, name: str, mount: tuple[int, str]) -> int:
    """Return a descriptor of a folder in a folder, on the same disk.

    Raises:
        FileOutsideError: Another disk is mounted there.
        FileNotRegularError: It is a link.
        FileNotFoundError: It is not there.
    """
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            message = "it is behind a link, which is never followed"
            raise FileNotRegularError(message) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    try:
        _require_mount(descriptor, mount)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_mount(descriptor: int, mount: tuple[int, str]) -> None:
    if mount_of(descriptor) != mount:
        message = "it is on another disk, mounted below the run's directory"
        raise FileOutsideError(message)


@contextmanager
def _opened_file(folder: int, name: str, mount: tuple[int, str]) -> Generator[int]:
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        message = "it is a link, a device, a socket or a pipe, and left alone"
        raise FileNotRegularError(message)
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = "it was no plain file when it was opened"
            raise FileNotRegularError(message)
        _require_mount(descriptor, mount)
        yield descriptor
    finally:
        os.close(descriptor)


def _examined_file(descriptor: int, doomed: DoomedOutput) -> Facts:
    _require_size(os.fstat(descriptor).st_size, doomed)
    algorithm, _, expected = doomed.checksum.partition(":")
    if doomed.checksum and _hashed(descriptor, algorithm or "sha256") != expected:
        message = "it has other contents than were published"
        raise FileChangedError(message)
    return _facts(os.fstat(descriptor))


def _examined_folder(way: _Way, doomed: DoomedOutput) -> Mapping[str, Facts]:
    digest = hashlib.sha256()
    files: dict[str, Facts] = {}
    folder = _entered(way.folder, way.name, way.mount)
    try:
        found = sorted(_files_below(folder, "", way.mount, DEEPEST), key=lambda one: one.split("/"))
        for path in found:
            with (
                _in_folder(folder, path, way.mount) as (inside, name),
                _opened_file(inside, name, way.mount) as descriptor,
            ):
                if doomed.checksum:
                    said = f"{path}\0sha256:{_hashed(descriptor, 'sha256')}\n"
                    digest.update(said.encode())
                files[path] = _facts(os.fstat(descriptor))
    finally:
        os.close(folder)
    _require_size(sum(facts[2] for facts in files.values()), doomed)
    if doomed.checksum not in ("", f"sha256:{digest.hexdigest()}"):
        message = "it has other files or contents than were published"
        raise FileChangedError(message)
    return files


def _files_below(folder: int, prefix: str, mount: tuple[int, str], deepest: int) -> Generator[str]:
    """Yield the paths of the plain files below a folder; what else there is, is not of it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if not _is_text(path):
                continue
            if entry.is_file(follow_symlinks=False):
                yield path
            elif entry.is_dir(follow_symlinks=False):
                if not deepest:
                    message = f"its folders are more than {DEEPEST} deep"
                    raise FileKeptError(message)
                inside = _entered(folder, entry.name, mount)
                try:
                    yield from _files_below(inside, f"{path}/", mount, deepest - 1)
                finally:
                    os.close(inside)


@contextmanager
def _in_folder(folder: int, path: str, mount: tuple[int, str]) -> Generator[tuple[int, str]]:
    """Yield the folder in which a file below a folder is, open, and the file's name in there."""
    *above, name = path.split("/")
    with ExitStack() as stack:
        for each in above:
            folder = _entered(folder, each, mount)
            stack.callback(os.close, folder)
        yield folder, name


def _is_removed(way: _Way, path: str, facts: Facts) -> bool:
    """Remove a file that is what was examined; return whether it is gone, now or before."""
    try:
        with _in_folder(way.folder, f"{way.name}/{path}" if path else way.name, way.mount) as (
            folder,
            name,
        ):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or list(_facts(found)) != list(facts):
                return False
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except FileNotRegularError:  # behind what is a link now
        return False
    return True


def _prune_folder(above: int, name: str, mount: tuple[int, str], deepest: int) -> bool:
    """Remove a folder with the empty folders in it, and return whether it is gone."""
    try:
        folder = _entered(above, name, mount)
    except (OSError, FileUnreadableError):
        return False
    try:
        with os.scandir(folder) as entries:
            inner = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
        if deepest:
            for each in inner:
                _prune_folder(folder, each, mount, deepest - 1)
    finally:
        os.close(folder)
    return _is_folder_removed(above, name)


def _is_folder_removed(above: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=above)
    except FileNotFoundError:
        return True
    except OSError:  # not empty, or no folder any more
        return False
    return True


def _require_size(size: int, doomed: DoomedOutput) -> None:
    if size != doomed.size_bytes:
        message = f"it has {size} bytes, and had {doomed.size_bytes} when published"
        raise FileChangedError(message)


def _hashed(descriptor: int, algorithm: str) -> str:
    """Return the checksum of an open file that is not written meanwhile.

    Raises:
        FileChangedError: It was.
        FileKeptError: That kind of checksum is not known.
    """
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        message = f"its checksum is of a kind that cannot be compared here: {algorithm}"
        raise FileKeptError(message)
    before = _facts(os.fstat(descriptor))
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in _pieces(descriptor):
        digest.update(piece)
    if _facts(os.fstat(descriptor)) != before:
        message = "it was written while it was compared"
        raise FileChangedError(message)
    return digest.hexdigest()


def _pieces(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, _CHUNK):
        yield piece


def _facts(found: os.stat_result) -> Facts:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kept(error: OSError) -> FileUnreadableError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY):
        said = os.strerror(error.errno or 0)
        return FileUnreadableError(f"the agent's machine does not let it be deleted: {said}")
    return refusal(error)
