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
    def take(cls, path: Path, *, shared: bool = False) -> "FileLock | None":
        """Lock the file, made if need be; None when it is locked or cannot be.

        Args:
            path: The file.
            shared: Whether others may have such a lock too: to see that nobody has the other one.
        """
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
        try:
            descriptor, opened = _open(path)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, how)
            # Who had it before may have removed the file, which says nothing any more then.
            if os.path.samestat(os.fstat(descriptor), opened.stat()):
                return cls(descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

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


def _open(path: Path) -> tuple[int, Path]:
    """Return what is locked, opened, and where that is."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), path
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
    # Whoever may only read, as on a medium that was put away, locks what there is.
    there = path if path.exists() else path.parent
    return os.open(there, os.O_RDONLY | os.O_CLOEXEC), there


_NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

_HELD: WeakSet[FileLock] = WeakSet()

os.register_at_fork(after_in_child=FileLock.forget_all)
