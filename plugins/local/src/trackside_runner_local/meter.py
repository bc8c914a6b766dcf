"""Measures what the processes of a run use, all together, from `/proc` and at little cost."""

# ruff: noqa: PTH123, PTH208 - a supervisor does without pathlib

import os
import resource
import time
from collections.abc import Callable

from trackside_runner_local import processes

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
RESIDENT = 1
"""The place in `/proc/PID/statm`."""

FIRST_SECONDS, LONGEST_SECONDS, LONGEST_LIMITED_SECONDS = 0.05, 2.0, 0.2
SLOWING = 1.5
"""How often is measured: often at first, for short runs, then less and less."""

SHARE = 20
"""Measuring takes at most this part of one processor's time."""


class Meter:
    """Measures one run: the processes whose numbers it is given.

    Pages that several processes share count once, in the proportional sizes that the kernel
    gives. Those are dear for a process with much memory, and never more than the resident sizes,
    which are cheap. So they are asked for only where the resident sizes leave a doubt.
    """

    def __init__(self, pids: Callable[[], list[int]], memory_limit_bytes: int | None) -> None:
        self.peak_memory_bytes = 0
        """The most that was seen held at one time."""
        self.processor_seconds = 0.0
        """What was used so far."""
        self.memory_limit_bytes = memory_limit_bytes
        self.next_time = time.monotonic()
        """When to measure again."""
        self._pids = pids
        self._reaped_seconds = 0.0
        self._pause = FIRST_SECONDS
        self._longest = LONGEST_SECONDS if memory_limit_bytes is None else LONGEST_LIMITED_SECONDS

    def note_reaped(self, usage: resource.struct_rusage) -> None:
        """Take in what a process that has ended used, with those that it had waited for."""
        self._reaped_seconds += usage.ru_utime + usage.ru_stime
        self.processor_seconds = max(self.processor_seconds, self._reaped_seconds)
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * 1024)

    def measure(self) -> int:
        """Measure, and return how much memory is held now, or at most so much if that is little."""
        begin = time.monotonic()
        pids = self._pids()
        ticks = sum(_ticks(pid) for pid in pids)
        seconds = self._reaped_seconds + ticks / TICKS_A_SECOND
        self.processor_seconds = max(self.processor_seconds, seconds)
        held = sum(_resident_bytes(pid) for pid in pids)
        doubtful = self.peak_memory_bytes
        if self.memory_limit_bytes is not None:
            doubtful = min(doubtful, self.memory_limit_bytes)
        if held > doubtful and len(pids) > 1:
            held = sum(_proportional_bytes(pid) for pid in pids)
        self.peak_memory_bytes = max(self.peak_memory_bytes, held)
        end = time.monotonic()
        self.next_time = end + max(self._pause, SHARE * (end - begin))
        self._pause = min(self._pause * SLOWING, self._longest)
        return held


def below(ancestor: int) -> list[int]:
    """Return the numbers of all processes below this one, without a look at any other."""
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    tasks = f"{processes.PROC}/{pid}/task"
    try:
        return [
            int(child)
            for task in os.listdir(tasks)
            for child in _read(f"{tasks}/{task}/children").split()
        ]
    except (FileNotFoundError, ProcessLookupError):  # which of them is up to the moment
        return []


def _ticks(pid: int) -> int:
    """Return the processor time of a process and of the children that it has waited for."""
    fields = _read(f"{processes.PROC}/{pid}/stat").rpartition(b")")[2].split()
    return sum(int(field) for field in fields[processes.TIMES])


def _resident_bytes(pid: int) -> int:
    fields = _read(f"{processes.PROC}/{pid}/statm").split()
    return int(fields[RESIDENT]) * PAGE_BYTES if fields else 0


def _proportional_bytes(pid: int) -> int:
    for line in _read(f"{processes.PROC}/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return _resident_bytes(pid)  # another user's, for example by `sudo`


def _read(path: str) -> bytes:
    """Return what a file says, nothing when its process has ended."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
