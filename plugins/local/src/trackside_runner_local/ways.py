"""The ways to what runs have published: open folders, each looked up in the one before.

Nothing that is swapped meanwhile leads elsewhere: a link is never followed, another disk never
entered.
"""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from trackside_plugin_interface import (
    DoomedOutput,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
)
from trackside_runner_local.directories import mount_of, opened_directory
from trackside_runner_local.opening import refusal

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

Mount = tuple[int, str]
"""Which mounted disk something is on."""


@dataclass(slots=True)
class Way:
    """The open folders from the run's directory to the one in which an output is."""

    name: str
    """The output's own name."""
    mount: Mount
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
            if not is_folder_removed(above, name):
                return


@contextmanager
def reached(doomed: DoomedOutput, *, may_be_gone: bool = False) -> Generator[Way]:
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
            way = Way(name, mount_of(directory), [directory])
            try:
                for each in above:
                    folder = entered(way.folder, each, way.mount)
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


def entered(folder: int, name: str, mount: Mount) -> int:
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


@contextmanager
def opened_file(folder: int, name: str, mount: Mount) -> Generator[int]:
    """Open a plain file in a folder, on the same disk.

    Raises:
        FileNotRegularError: It is anything else.
        FileOutsideError: Another disk is mounted on it.
        OSError: It is not there, or may not be read.
    """
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


@contextmanager
def in_folder(folder: int, path: str, mount: Mount) -> Generator[tuple[int, str]]:
    """Yield the folder in which a file below a folder is, open, and the file's name in there."""
    *above, name = path.split("/")
    with ExitStack() as stack:
        for each in above:
            folder = entered(folder, each, mount)
            stack.callback(os.close, folder)
        yield folder, name


def is_folder_removed(above: int, name: str) -> bool:
    """Remove a folder in a folder if it is empty, and return whether it is gone."""
    try:
        os.rmdir(name, dir_fd=above)
    except FileNotFoundError:
        return True
    except OSError:  # not empty, or no folder any more
        return False
    return True


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


def _require_mount(descriptor: int, mount: Mount) -> None:
    if mount_of(descriptor) != mount:
        message = "it is on another disk, mounted below the run's directory"
        raise FileOutsideError(message)


def _kept(error: OSError) -> FileUnreadableError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY):
        said = os.strerror(error.errno or 0)
        return FileUnreadableError(f"the agent's machine does not let it be deleted: {said}")
    return refusal(error)
