"""Finds and ends processes, and never one that only has the number of another.

A number is given to another process when its owner is gone. The number together with the start
time is not, within one boot of the machine; and a pidfd is bound to one process for good.
"""

# ruff: noqa: PTH123, PTH208 - a supervisor does without pathlib, which costs megabytes

import os
import signal
from collections.abc import Callable, Iterable

STATE, PARENT, THREADS, START_TICKS = 0, 1, 17, 19
TIMES = slice(11, 15)
"""Places in `/proc/PID/stat`, counted after the name, which may itself hold spaces and brackets."""

FREEZE_ROUNDS = 20
PROC = "/proc"


class Process:
    """One process: its number and the time of its start, in clock ticks since boot."""

    __slots__ = ("pid", "start_ticks")

    def __init__(self, pid: int, start_ticks: int) -> None:
        self.pid = pid
        self.start_ticks = start_ticks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and hash(self) == hash(other)

    def __hash__(self) -> int:
        return hash((self.pid, self.start_ticks))


class ProcessGoneError(Exception):
    """The process has ended."""


def boot_id() -> str:
    """Return what names the present boot of this machine."""
    with open(f"{PROC}/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identify(pid: int) -> Process:
    """Return the process that has this number now.

    Raises:
        ProcessGoneError: There is none, or it has ended and only its parent has not noticed.
    """
    fields = _stat(pid)
    if fields is None:
        raise ProcessGoneError(pid)
    return Process(pid, int(fields[START_TICKS]))


def is_alive(process: Process) -> bool:
    """Return whether this very process still runs."""
    fields = _stat(process.pid)
    return fields is not None and int(fields[START_TICKS]) == process.start_ticks


def open_process(process: Process) -> int:
    """Return a pidfd of this very process, readable once it has ended.

    Raises:
        ProcessGoneError: It has ended.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        raise ProcessGoneError(process.pid) from None
    if is_alive(process):  # asked after opening: what is bound now is what was meant
        return descriptor
    os.close(descriptor)
    raise ProcessGoneError(process.pid)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to this very process; nothing happens when it has ended or is not ours."""
    try:
        descriptor = open_process(process)
    except ProcessGoneError:
        return
    try:
        signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        os.close(descriptor)


def descendants(ancestors: Iterable[int]) -> set[Process]:
    """Return the living children of these processes, their children, and so on."""
    children: dict[int, list[int]] = {}
    found: dict[int, int] = {}
    for pid in _numbers():
        fields = _stat(pid)
        if fields is not None:
            children.setdefault(int(fields[PARENT]), []).append(pid)
            found[pid] = int(fields[START_TICKS])
    below: set[Process] = set()
    waiting = [child for ancestor in ancestors for child in children.get(ancestor, ())]
    while waiting:
        pid = waiting.pop()
        below.add(Process(pid, found[pid]))
        waiting.extend(children.pop(pid, ()))
    return below


def marked(variable: str) -> set[Process]:
    """Return the living processes that were started with this `NAME=value` in their environment."""
    mark = b"\0" + variable.encode() + b"\0"
    found: set[Process] = set()
    for pid in _numbers():
        try:
            process = identify(pid)
            with open(f"{PROC}/{pid}/environ", "rb") as file:
                if mark in b"\0" + file.read() + b"\0":
                    found.add(process)
        except (OSError, ProcessGoneError):  # gone meanwhile, or another user's
            continue
    return found


def end(find: Callable[[], set[Process]]) -> int:
    """Kill what `find` finds, and return how many that were; call again until that is none.

    All are stopped first, so that none can start another while its siblings are killed.
    """
    frozen = _freeze(find)
    for process in frozen:
        send(process, signal.SIGKILL)
    return len(frozen)


def tell(find: Callable[[], set[Process]]) -> int:
    """Ask what `find` finds to end, each process once, and return how many that were.

    All are stopped first, so that what one of them starts in order to clean up is not asked too.
    """
    frozen = _freeze(find)
    for process in frozen:
        send(process, signal.SIGTERM)
    for process in frozen:
        send(process, signal.SIGCONT)
    return len(frozen)


def _freeze(find: Callable[[], set[Process]]) -> set[Process]:
    frozen: set[Process] = set()
    for _ in range(FREEZE_ROUNDS):
        fresh = find() - frozen
        if not fresh:
            break
        for process in fresh:
            send(process, signal.SIGSTOP)
        frozen |= fresh
    return frozen


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of a living process, else nothing."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if not fields:
        return None
    ended = fields[STATE] in (b"Z", b"X") and int(fields[THREADS]) <= 1
    return None if ended else fields
