"""The processes of a run, as its supervisor sees them: children of its own, or strangers.

A supervisor that started the command, and the one that stood by, are subreapers: whatever loses
its parent becomes their child, so that none escapes and each tells how it ended. One that was
started after both were killed has no children: it knows the command, what the others last saw
below it, and the mark that all have in their environment unless they put it away.
"""

import fcntl
import os
import resource
import select
import struct
from collections.abc import Callable, Iterable

from trackside_runner_local import meter, processes
from trackside_runner_local.processes import Process, ProcessGoneError

PIDFD_INFO = struct.Struct("<QQ11Ii")
PIDFD_GET_INFO = 0xC040FF0B
"""Asks what is known of a process; since Linux 6.15 also after its parent took note of its end."""
EXIT_KNOWN = 1 << 3

LONG_MILLISECONDS, SHORT_MILLISECONDS = 3600 * 1000, 100

Ended = Callable[["Exit"], None]


class Exit:
    """How a process ended: by one of the two, or by neither when nobody saw it."""

    __slots__ = ("code", "signal")

    def __init__(self, code: int | None = None, number: int | None = None) -> None:
        self.code = code
        self.signal = number

    @classmethod
    def of_status(cls, status: int) -> "Exit":
        """Return what a wait status says."""
        if os.WIFSIGNALED(status):
            return cls(number=os.WTERMSIG(status))
        return cls(os.WEXITSTATUS(status))


class Children:
    """The processes of a run of which this one is an ancestor."""

    patience_milliseconds = LONG_MILLISECONDS
    """How long to wait at most before asking again: the end of a child wakes us."""

    def __init__(
        self,
        command: Process,
        marker: str,
        on_end: Ended,
        on_reaped: Callable[[resource.struct_rusage], None],
    ) -> None:
        self._command = command
        self._marker = marker
        self._on_end = on_end
        self._on_reaped = on_reaped

    def is_left(self) -> bool:
        """Take note of what has ended, and return whether anything of the run is left.

        What is known of an end is passed on before the system forgets it: were we killed in
        between, whoever comes after us would be told again.
        """
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            if ended is None:
                return True
            if ended.si_pid == self._command.pid:
                by_itself = ended.si_code == os.CLD_EXITED
                status = ended.si_status
                self._on_end(Exit(status) if by_itself else Exit(number=status))
            self._on_reaped(os.wait4(ended.si_pid, 0)[2])

    def pids(self) -> list[int]:
        """Return the numbers of the processes."""
        return meter.below(os.getpid())

    def find(self) -> set[Process]:
        """Return the processes."""
        return processes.descendants([os.getpid()]) | processes.marked(self._marker)


class Strangers:
    """The processes of a run of which this one is no ancestor."""

    patience_milliseconds = SHORT_MILLISECONDS

    def __init__(
        self, command: Process, marker: str, on_end: Ended, known: Iterable[Process]
    ) -> None:
        self._command = command
        self._marker = marker
        self._on_end = on_end
        self._known = {command, *known}
        self._poll = select.poll()
        self._descriptor = -1
        self._has_ended = False
        try:
            self._descriptor = processes.open_process(command)
            self._poll.register(self._descriptor, select.POLLIN)
        except ProcessGoneError:
            pass

    def is_left(self) -> bool:
        """Take note of the end of the command, and return whether anything of the run is left."""
        if not self._has_ended and (self._descriptor < 0 or self._poll.poll(0)):
            self._has_ended = True
            self._on_end(_seen_end(self._command, self._descriptor))
        return not self._has_ended or bool(self.find())

    def pids(self) -> list[int]:
        """Return the numbers of the processes that are known, and of those below them."""
        known = [one.pid for one in self._known if processes.is_alive(one)]
        pids = {*known, *(pid for one in known for pid in meter.below(one))}
        self._known = processes.identified(pids)
        return list(pids)

    def find(self) -> set[Process]:
        """Return the processes, as far as they can be told from others."""
        return processes.of_run(self._known, self._marker)


def _seen_end(process: Process, descriptor: int) -> Exit:
    """Return how a process ended that is no child of ours, as far as the system tells."""
    status = processes.status_of_ended(process)
    if status is None and descriptor >= 0:  # its parent was faster
        facts = bytearray(PIDFD_INFO.size)
        PIDFD_INFO.pack_into(facts, 0, EXIT_KNOWN, *[0] * 13)
        try:
            fcntl.ioctl(descriptor, PIDFD_GET_INFO, facts)
        except OSError:  # an older system
            return Exit()
        mask, *_, told = PIDFD_INFO.unpack(facts)
        status = told if mask & EXIT_KNOWN else None
    return Exit() if status is None else Exit.of_status(status)
