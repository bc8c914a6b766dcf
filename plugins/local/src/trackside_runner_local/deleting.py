"""Deletes what runs have published on this machine, and nothing else.

What is deleted was read before, to the last byte: a file is known again by device, inode, size
and time of writing, and what does not have all of these is left alone.
"""

import hashlib
import os
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

from trackside_plugin_interface import (
    DoomedOutput,
    FileChangedError,
    FileGoneError,
    FileKeptError,
    FileNotRegularError,
    FileUnreadableError,
    Handle,
)
from trackside_runner_local.ways import (
    Mount,
    Way,
    entered,
    in_folder,
    is_folder_removed,
    opened_file,
    reached,
)

DEEPEST: Final = 128
"""How deep a folder may be: each level holds a descriptor meanwhile."""

_CHUNK: Final = 1 << 20

Facts = Sequence[int]
"""Device, inode, size and time of writing: what a file is known again by."""


def examine(doomed: DoomedOutput) -> Handle:
    """Return what is there of an output, by which it is known again; see the plugin interface."""
    with reached(doomed) as way:
        found = os.stat(way.name, dir_fd=way.folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            try:
                files = _examined_folder(way, doomed)
            except FileNotFoundError as error:
                os.stat(way.name, dir_fd=way.folder, follow_symlinks=False)  # or all of it is gone
                message = "files of it went while it was looked at"
                raise FileChangedError(message) from error
        else:
            with opened_file(way.folder, way.name, way.mount) as descriptor:
                files = {"": _examined_file(descriptor, doomed)}
    told = {path: list(facts) for path, facts in files.items()}
    return {"files": told, "place": [found.st_dev, found.st_ino]}


def delete(doomed: DoomedOutput, examined: Handle) -> int:
    """Delete what was examined, and return how large that was; see the plugin interface."""
    files = cast("Mapping[str, Facts]", examined["files"])
    changed, size = 0, 0
    try:
        with reached(doomed, may_be_gone=True) as way:
            for path, facts in files.items():
                if _is_removed(way, path, facts):
                    size += facts[2]
                else:
                    changed += 1
            if "" not in files:
                _prune_published(way, examined)
            way.prune()
    except FileGoneError:  # with all that was in it
        return sum(facts[2] for facts in files.values())
    if changed:
        message = f"{changed} of {len(files)} files were written since, and are kept"
        raise FileChangedError(message)
    return size


def _examined_file(descriptor: int, doomed: DoomedOutput) -> Facts:
    _require_size(os.fstat(descriptor).st_size, doomed)
    algorithm, _, expected = doomed.checksum.partition(":")
    if doomed.checksum and _hashed(descriptor, algorithm or "sha256") != expected:
        message = "it has other contents than were published"
        raise FileChangedError(message)
    return _facts(os.fstat(descriptor))


def _examined_folder(way: Way, doomed: DoomedOutput) -> Mapping[str, Facts]:
    digest = hashlib.sha256()
    files: dict[str, Facts] = {}
    folder = entered(way.folder, way.name, way.mount)
    try:
        found = sorted(_files_below(folder, "", way.mount, DEEPEST), key=lambda one: one.split("/"))
        for path in found:
            with (
                in_folder(folder, path, way.mount) as (inside, name),
                opened_file(inside, name, way.mount) as descriptor,
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


def _files_below(folder: int, prefix: str, mount: Mount, deepest: int) -> Generator[str]:
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
                inside = entered(folder, entry.name, mount)
                try:
                    yield from _files_below(inside, f"{path}/", mount, deepest - 1)
                finally:
                    os.close(inside)


def _is_removed(way: Way, path: str, facts: Facts) -> bool:
    """Remove a file that is what was examined; return whether it is gone, now or before."""
    try:
        with in_folder(way.folder, f"{way.name}/{path}" if path else way.name, way.mount) as (
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


def _prune_published(way: Way, examined: Handle) -> None:
    """Remove a published folder with the empty folders in it, if it still is that folder."""
    with suppress(FileNotFoundError):
        found = os.stat(way.name, dir_fd=way.folder, follow_symlinks=False)
        if [found.st_dev, found.st_ino] == examined["place"]:
            _prune_folder(way.folder, way.name, way.mount, DEEPEST)


def _prune_folder(above: int, name: str, mount: Mount, deepest: int) -> bool:
    """Remove a folder with the empty folders in it, and return whether it is gone."""
    try:
        folder = entered(above, name, mount)
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
    return is_folder_removed(above, name)


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
