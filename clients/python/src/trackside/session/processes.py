"""The processes that this one has started, and their end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_LONGEST_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.01
_HELPERS: Final = (
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
)
"""Where Python keeps the numbers of processes that end when this one has."""


_BIRTHS: Final = ("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen")
"""What Python tells of, before a process is started."""


def forbid_children() -> None:
    """Let no other thread of this process start another one any more, by any way of Python's.

    A thread that is about to waits for ever. This cannot be undone.
    """
    allowed = threading.get_ident()

    def hold(event: str, _details: tuple[object, ...]) -> None:
        if event in _BIRTHS and threading.get_ident() != allowed:
            threading.Event().wait()

    sys.addaudithook(hold)


def kill_children() -> bool:
    """Kill all descendants of this process, those too that are born meanwhile.

    Says whether none is left: one that waits for a device may outlast every signal.
    """
    return _kill(lambda: descendants(os.getpid()))


def end_what_would_be_left(until: float) -> bool:
    """Tell the descendants that would outlive this process to end, and kill them at this time.

    The time is on the monotonic clock. Workers of `multiprocessing` end with this process, as
    Python does it, and are left to that. Says whether none of the others is left.
    """
    _signal(_outliving(), signal.SIGTERM)
    while _outliving():
        if time.monotonic() > until:
            return _kill(_outliving)
        time.sleep(_PAUSE_SECONDS)
    return True


def _kill(find: Callable[[], Sequence[int]]) -> bool:
    end = time.monotonic() + _LONGEST_SECONDS
    halted: set[int] = set()
    while living := find():
        # What one of them has borne since would be found no more once that is dead. What is
        # halted bears nothing.
        newborn = [each for each in living if each not in halted]
        halted.update(newborn)
        _signal(newborn or living, signal.SIGSTOP if newborn else signal.SIGKILL)
        if time.monotonic() > end:
            _signal(living, signal.SIGKILL)
            return False
        if not newborn:
            time.sleep(_PAUSE_SECONDS)
    return True


def _signal(process_ids: Sequence[int], number: signal.Signals) -> None:
    for process_id in process_ids:
        with contextlib.suppress(OSError):
            os.kill(process_id, number)


def _outliving() -> list[int]:
    """Return the descendants that do not end with this process by themselves."""
    workers: Any = sys.modules.get("multiprocessing.process")
    ending = [worker.pid for worker in workers.active_children()] if workers else []
    for module, name, number in _HELPERS:
        helper = getattr(sys.modules.get(module), name, None)
        ending.append(getattr(helper, number, None))
    parents = _parents()
    outside = _below(os.getpid(), parents)
    for root in filter(None, ending):
        outside = [each for each in outside if each not in (root, *_below(root, parents))]
    return outside


def descendants(root: int) -> list[int]:
    """Return the ids of all living processes below this one."""
    return _below(root, _parents())


def _below(root: int, parents: Mapping[int, int]) -> list[int]:
    found: list[int] = []
    generation = {root}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        found += generation
    return found


def _parents() -> dict[int, int]:
    if Path("/proc/self/stat").exists():
        return _parents_of_proc()
    with subprocess.Popen(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True
    ) as listing:
        rows = [line.split() for line in listing.communicate()[0].splitlines()]
    parents = {int(row[0]): int(row[1]) for row in rows if not row[2].startswith("Z")}
    parents.pop(listing.pid, None)  # it saw itself
    return parents


def _parents_of_proc() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                facts = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                if facts[0] != b"Z":
                    parents[int(entry.name)] = int(facts[1])
    return parents
