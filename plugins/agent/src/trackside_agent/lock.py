"""The lock by which a home has at most one agent, and by which others find it."""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from trackside_agent import durable

FLOCK: Final = struct.Struct("hhqqi")
"""The `struct flock` of Linux: kind, origin, start, length, owner's pid."""


class AgentRunningError(Exception):
    """Another agent of the same home runs already; the text says which."""


class AgentLock:
    """A record lock, freed by the system when its owner ends.

    Unlike others, it can be asked for its owner without being taken, so that nobody who asks gets
    in the way of an agent that starts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self) -> None:
        """Lock, for as long as this process runs.

        Raises:
            AgentRunningError: Another process has.
        """
        durable.make_folder(self._path.parent)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            owner = find_owner(self._path)
            message = f"an agent with process id {owner} runs in {self._path.parent} already"
            raise AgentRunningError(message) from error

    @property
    def is_there(self) -> bool:
        """Whether the file still is where others look for it: the home was not removed."""
        return os.fstat(self._descriptor).st_nlink > 0


def find_owner(path: Path) -> int | None:
    """Return the pid of the other process that has locked this file, if one has."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, owner = FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else owner
