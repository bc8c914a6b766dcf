"""Finds and ends processes, and never one that only has the number of another.

A number is given to another process when its owner is gone. The number together with the start
time is not, within one boot of the machine; and a pidfd is bound to one process for good.
"""

# ruff: noqa: PTH123, PTH208 - a supervisor does without pathlib, which costs megabytes

import os
import signal
from collections.abc import Callable, Iterable

STATE, PARENT, THREADS, START_TICKS, STATUS = 0, 1, 17, 19, 49
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

    @classmethod
    def of(cls, numbers: object) -> "Process":
        """Return the process that a record names by these two numbers."""
        assert isinstance(numbers, list)
        return cls(*numbers)  # pyright: ignore[reportUnknownArgumentType] - as the supervisor wrote them

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and hash(self) == hash(other)

    def __hash__(self) -> int:
        return hash((self.pid, self.start_ticks))


def listed(numbers: object) -> list[Process]:
    """Return the processes that a record lists, none if it does not."""
    return [Process.of(one) for one in numbers] if isinstance(numbers, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - pairs of numbers, as the supervisor wrote them


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


def status_of_ended(process: Process) -> int | None:
    """Return the wait status of a process that has ended and whose parent has not noticed."""
    fields = _fields(process.pid)
    if len(fields) <= STATUS or int(fields[START_TICKS]) != process.start_ticks:
        return None
    return int(fields[STATUS]) if _has_ended(fields) else None


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


def marker(run_id: str) -> str:
    """Return the variable that marks the processes of a run."""
    return f"TRACKSIDE_RUN_ID={run_id}"


def identified(pids: Iterable[int]) -> set[Process]:
    """Return those of the processes with these numbers that are alive."""
    found: set[Process] = set()
    for pid in pids:
        try:
            found.add(identify(pid))
        except ProcessGoneError:
            continue
    return found


def of_run(known: Iterable[Process], mark: str) -> set[Process]:
    """Return the processes of a run: those known, those with its mark, and what they started."""
    found = marked(mark) | {one for one in known if is_alive(one)}
    return found | descendants([one.pid for one in found])


def end(find: Callable[[], set[Process]]) -> set[Process]:
    """Kill what `find` finds, and return what that was; call again until it is nothing.

    All are stopped first, so that none can start another while its siblings are killed.
    """
    frozen = _freeze(find)
    for process in frozen:
        send(process, signal.SIGKILL)
    return frozen


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
    fields = _fields(pid)
    return fields if fields and not _has_ended(fields) else None


def _fields(pid: int) -> list[bytes]:
    """Return what the system says of a process, even of one that has ended; none if it is gone."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _has_ended(fields: list[bytes]) -> bool:
    return fields[STATE] in (b"Z", b"X") and int(fields[THREADS]) <= 1
