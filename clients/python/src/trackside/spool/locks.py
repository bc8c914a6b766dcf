"""Locks on files, by which processes of one user agree who writes and who delivers a spool."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final
from weakref import WeakSet


class FileLock:
    """A lock that the system frees with the process, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _HELD.add(self)

    @classmethod
    def take(cls, path: Path) -> "FileLock | None":
        """Lock the file, made if need be; None when it is locked or cannot be."""
        try:
            descriptor = _open(path)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def forget_all() -> None:
        """Close what a fork inherited: else the locks would outlive the process that took them."""
        for lock in tuple(_HELD):
            lock.release()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
    # Whoever may only read, as on a medium that was put away, locks what there is.
    return os.open(path if path.exists() else path.parent, os.O_RDONLY | os.O_CLOEXEC)


_NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

_HELD: WeakSet[FileLock] = WeakSet()

os.register_at_fork(after_in_child=FileLock.forget_all)
