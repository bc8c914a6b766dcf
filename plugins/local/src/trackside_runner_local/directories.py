"""The directory below which a run has its outputs: recorded at the launch, recognised later.

It is known by device and inode, so that whatever has taken its place is not taken for it. In some
directories nothing is ever deleted: too much that is none of the run's would be at stake.
"""

import os
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

from trackside_plugin_interface import (
    FileGoneError,
    FileNotRegularError,
    OutputDirectory,
    UnsafeDirectoryError,
)
from trackside_runner_local.opening import open_place
from trackside_runner_local.records import Record

FEWEST_NAMES: Final = 2
"""How many names a path must have: what is at the top is for more than runs."""

_STORED: Final = ("path", "identity", "hazard")
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def directory_record(work_directory: str, run_directory: Path) -> Record:
    """Return what is to be remembered of the directory in which a run is launched.

    Args:
        work_directory: The directory.
        run_directory: The run's own folder in the agent's, in which there is nothing to delete.
    """
    path = os.path.realpath(work_directory)
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as all here
        hazard = hazard_of(path, [str(run_directory)])
    except OSError as error:
        return {"path": path, "identity": "", "hazard": f"it cannot be looked at: {error.strerror}"}
    return {"path": path, "identity": _identity(found), "hazard": hazard}


def recorded_directory(launch: Record) -> OutputDirectory | None:
    """Return the directory of a launch record; None if an earlier version wrote that."""
    if "output_directory" not in launch:
        return None
    record = cast("Record", launch["output_directory"])
    path, identity, hazard = (str(record[name]) for name in _STORED)
    return OutputDirectory(path=path, identity=identity, hazard=hazard)


@contextmanager
def opened_directory(directory: OutputDirectory) -> Generator[int]:
    """Open a directory to delete in it.

    Raises:
        FileGoneError: It is not there any more.
        UnsafeDirectoryError: It is another one, or nothing is deleted in it.
    """
    try:
        descriptor = open_place(directory.path)
    except FileNotRegularError as error:
        message = "the run's directory is a link now, or behind one"
        raise UnsafeDirectoryError(message) from error
    try:
        found = os.fstat(descriptor)
        if not directory.identity or _identity(found) != directory.identity:
            message = "the run's directory is another one than when the run was launched"
            raise UnsafeDirectoryError(message)
        if hazard := directory.hazard or _hazard_now(directory.path):
            message = f"nothing is deleted in the run's directory: {hazard}"
            raise UnsafeDirectoryError(message)
        yield descriptor
    finally:
        os.close(descriptor)


def hazard_of(path: str, others: Iterable[str] = ()) -> str:
    """Return why nothing may be deleted below a directory; empty if it may be.

    Args:
        path: A real path.
        others: Further folders that it must not be, nor hold.

    Raises:
        OSError: It cannot be looked at.
    """
    if len(Path(path).parts) <= FEWEST_NAMES:
        return "it is at the top of the file system"
    protected = {_home(): "a user's home", _own_directory(): "the agent's own directory"}
    protected |= dict.fromkeys(others, "what Trackside keeps of its runs")
    for other, what in protected.items():
        if _is_or_holds(path, other):
            return f"it is or holds {what}"
    if os.path.lexists(f"{path}/.git"):
        return "it is the root of a git work tree"
    if _is_mount_point(path):
        return "another disk is mounted there"
    return ""


def mount_of(descriptor: int) -> tuple[int, str]:
    """Return which mounted disk something is on; a folder mounted elsewhere is another one."""
    device = os.fstat(descriptor).st_dev
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:  # noqa: PTH123 - as all here
            said = file.read()
    except OSError:  # a system without: the device has to do
        return device, ""
    _, found, rest = said.partition(b"mnt_id:")
    return device, rest.split()[0].decode() if found else ""


def _hazard_now(path: str) -> str:
    try:
        return hazard_of(path)
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"


def _home() -> str:
    """Return the home of the user; the root of one who has none."""
    try:
        return str(Path.home())
    except RuntimeError:
        return "/"


def _own_directory() -> str:
    """Return the folder in which this process is; the root once that was removed."""
    try:
        return os.getcwd()  # noqa: PTH109 - as all here
    except FileNotFoundError:
        return "/"


def _is_or_holds(path: str, other: str) -> bool:
    mine = os.stat(path)  # noqa: PTH116 - as all here
    real = Path(os.path.realpath(other))
    for above in (real, *real.parents):
        try:
            if os.path.samestat(mine, above.stat()):
                return True
        except OSError:  # not there, so nothing to hold
            continue
    return False


def _is_mount_point(path: str) -> bool:
    here = os.open(path, _LIST)
    try:
        above = os.open("..", _LIST, dir_fd=here)
        try:
            return mount_of(here) != mount_of(above)
        finally:
            os.close(above)
    finally:
        os.close(here)


def _identity(found: os.stat_result) -> str:
    if not stat.S_ISDIR(found.st_mode):
        message = "there is no directory any more"
        raise FileGoneError(message)
    return f"{found.st_dev:x}:{found.st_ino:x}"
