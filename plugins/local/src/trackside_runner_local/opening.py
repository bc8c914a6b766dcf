"""Opens what a program says it has published, and nothing else: no link is followed anywhere.

Each name of the path is opened below the one before, so what is swapped for a link meanwhile
is refused, too. What is no plain file is refused before it is opened: a pipe would wait for a
writer, a device may act.
"""

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from trackside_plugin_interface import (
    FileGoneError,
    FileNotRegularError,
    FileUnreadableError,
)

_PASS: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Not blocking: what was a plain file when looked at may have become a pipe."""

_SPECIAL: Final = {".", ".."}


def open_place(location: str, member: str = "") -> int:
    """Return a descriptor of the plain file or the folder at a place.

    Args:
        location: An absolute path.
        member: A path below it; empty: the location itself.

    Raises:
        FileUnreadableError: One of its subclasses where it is known why.
    """
    names = _names(location, member)
    try:
        folder = os.open("/", _PASS)
        try:
            for name in names[:-1]:
                above, folder = folder, _enter(folder, name)
                os.close(above)
            return _open(folder, names[-1])
        finally:
            os.close(folder)
    except OSError as error:
        raise refusal(error) from error


def open_folder(folder: int, name: str) -> int:
    """Return a descriptor of a folder in a folder.

    Raises:
        OSError: There is none, or a link, or it may not be listed.
    """
    return os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)


def refusal(error: OSError) -> FileUnreadableError:
    """Return what to say of an error of the system; no paths, for anybody may read it."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return FileGoneError("there is no such file on the agent's machine any more")
        case errno.ELOOP:
            return FileNotRegularError("it is a link, which is never followed")
        case errno.EACCES | errno.EPERM:
            return FileUnreadableError("the agent may not read it")
        case _:
            said = os.strerror(error.errno) if error.errno else "unknown"
            return FileUnreadableError(f"the agent's machine cannot read it: {said}")


def _names(location: str, member: str) -> Sequence[str]:
    if not location.startswith("/") or "\0" in location + member:
        message = "it was published without an absolute path on the agent's machine"
        raise FileUnreadableError(message)
    names = [name for name in [*location.split("/"), *member.split("/")] if name]
    if not names or not _SPECIAL.isdisjoint(names):
        message = "its path is no plain one: it goes through `.` or `..`, or names no file"
        raise FileNotRegularError(message)
    return names


def _enter(folder: int, name: str) -> int:
    try:
        return os.open(name, _PASS, dir_fd=folder)
    except NotADirectoryError:  # which some systems also say of a link
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            message = "it is behind a link, which is never followed"
            raise FileNotRegularError(message) from None
        raise


def _open(folder: int, name: str) -> int:
    _require_plain(os.stat(name, dir_fd=folder, follow_symlinks=False))
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        _require_plain(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_plain(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        message = "it is a link, which is never followed"
    elif not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        message = "it is a device, a socket or a pipe, which is never read"
    elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and found.st_uid != os.geteuid():
        # Whoever made the further name need not be allowed to read the file.
        message = "it has several names and belongs to another user, and is not read"
    else:
        return
    raise FileNotRegularError(message)
