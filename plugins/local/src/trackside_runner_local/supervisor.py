"""Holds one run: starts its command, keeps what it prints and how it ends, ends it when due.

`python -m trackside_runner_local.supervisor FOLDER` leaves its parent at once and lives exactly as
long as the run; it needs nobody, and nobody is needed to find out later what happened. It says
one line on its standard output, when the command runs or cannot be started.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import time
from contextlib import suppress

from trackside_runner_local import processes, records
from trackside_runner_local.child import Child, NotStartedError, start
from trackside_runner_local.fate import Fate
from trackside_runner_local.frames import FORMAT, PIECE_BYTES, STDERR, STDOUT, FrameWriter
from trackside_runner_local.meter import Meter

STARTED, EXISTS, REFUSED = "started", "exists", "refused"

PR_SET_CHILD_SUBREAPER = 36

ENDING_MILLISECONDS = 20
LONGEST_MILLISECONDS = 3600 * 1000

FULL_DISK_SECONDS = 0.5
"""How long to wait for room on the disk, each time."""

FIRST_USAGE_SECONDS, USAGE_SECONDS = 1.0, 10.0
"""When it is first written down what the run uses, and how often then."""


class Supervisor:
    """One run in the making: the loop between its output, its end and the commands of the agent."""

    def __init__(self, folder: str, launch: records.Record, child: Child) -> None:
        now = time.monotonic()
        self._folder = folder
        self._marker = f"TRACKSIDE_RUN_ID={launch['run_id']}"
        self._fate = Fate(now, _number(launch["time_limit_seconds"]))
        self._meter = Meter(_whole_number(launch["memory_limit_bytes"]))
        self._child = child
        self._output = FrameWriter(f"{folder}/{records.OUTPUT}")
        self._streams = {child.stdout: STDOUT, child.stderr: STDERR}
        self._control = os.open(
            f"{folder}/{records.CONTROL}", os.O_RDWR | os.O_NONBLOCK
        )  # for writing too, so that it has no end
        self._poll = select.poll()
        self._wait_status: int | None = None
        self._end_time = 0.0
        self._usage_time = now + FIRST_USAGE_SECONDS
        self._left_behind: set[processes.Process] = set()

    def run(self) -> None:
        """Hold the run until nothing of it is left and it is written down how it ended."""
        wakeup, self_pipe = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(self_pipe, False)
        signal.set_wakeup_fd(self_pipe, warn_on_full_buffer=False)
        for descriptor in (*self._streams, self._control, wakeup):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self._hold(wakeup)
        while not self._is_written_down():
            time.sleep(FULL_DISK_SECONDS)

    def _hold(self, wakeup: int) -> None:
        while self._reap():
            self._measure()
            self._end_when_due()
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor in self._streams:
                    self._read(descriptor)
                elif descriptor == self._control:
                    self._obey()
                else:
                    os.read(wakeup, PIECE_BYTES)
        for descriptor in list(self._streams):
            while self._read(descriptor):
                pass
        self._output.sync()

    def _is_written_down(self) -> bool:
        """Write down how the run ended. While the disk is full, nobody else would know."""
        try:
            if self._output.has_said_what_is_lost(time.time_ns()):
                records.write(self._folder, records.EXIT, self._ending())
                return True
        except OSError:
            pass  # nor could that be said in the log, which is on the same disk
        return not os.access(self._folder, os.F_OK)  # it was removed: nobody will ask

    def _reap(self) -> bool:
        """Take note of what has ended, and return whether anything of the run is left.

        Whatever loses its parent becomes our child, so nothing is left when we have none.
        """
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._meter.note_reaped(usage)
            if pid == self._child.process.pid:
                self._wait_status, self._end_time = status, time.time()
                self._fate.note_end_of_command(time.monotonic())

    def _measure(self) -> None:
        """Measure what the run uses, if it is time to, and write it down, if it is time to."""
        now, limit = time.monotonic(), self._meter.memory_limit_bytes
        if now >= self._meter.next_time:
            held = self._meter.measure()
            if limit is not None:
                self._fate.note_memory(now, held, limit)
        if now >= self._usage_time:
            self._usage_time = now + USAGE_SECONDS
            with suppress(OSError):  # a full disk is no reason to leave the run alone
                records.write_lightly(self._folder, records.USAGE, self._usage())

    def _end_when_due(self) -> None:
        now = time.monotonic()
        self._fate.note_time(now)
        if self._fate.is_to_be_told:
            self._fate.note_told()
            self._note(records.TOLD, {"deadline": self._fate.deadline})
            processes.tell(self._find)
        if self._fate.is_due(now):
            if self._fate.is_escalating:
                self._fate.note_escalated()
                self._note(records.ESCALATION, {"time": time.time()})
            if self._fate.is_outlived:
                self._left_behind |= processes.descendants([os.getpid()])
            processes.end(self._find)

    def _note(self, name: str, record: records.Record) -> None:
        """Write down once what is being done. That the disk is full keeps nobody from doing it."""
        with suppress(OSError):
            records.write_once(self._folder, name, record)

    def _find(self) -> set[processes.Process]:
        return processes.descendants([os.getpid()]) | processes.marked(self._marker)

    def _patience(self) -> int:
        now = time.monotonic()
        if self._fate.is_due(now):
            return ENDING_MILLISECONDS
        seconds = min(self._meter.next_time, self._usage_time, self._fate.next_time) - now
        return max(0, min(int(seconds * 1000) + 1, LONGEST_MILLISECONDS))

    def _read(self, descriptor: int) -> bool:
        """Write down a piece of output, and return whether there may be more now."""
        try:
            piece = os.read(descriptor, PIECE_BYTES)
        except BlockingIOError:
            return False
        if piece:
            self._output.append(self._streams[descriptor], piece, time.time_ns())
            return True
        self._poll.unregister(descriptor)
        del self._streams[descriptor]
        os.close(descriptor)
        return False

    def _obey(self) -> None:
        orders = os.read(self._control, PIECE_BYTES)
        self._reap()  # a command that has ended by itself was not ended by an order
        now = time.monotonic()
        for order in orders.splitlines():
            word, _, seconds = order.partition(b" ")
            if word == records.KILL:
                self._fate.kill(now)
            elif word == records.STOP:
                self._fate.stop(now, float(seconds))

    def _ending(self) -> records.Record:
        status = self._wait_status
        assert status is not None, "the command is a child of ours, and none is left"
        signaled = os.WIFSIGNALED(status)
        return {
            "exit_code": None if signaled else os.WEXITSTATUS(status),
            "exit_signal": os.WTERMSIG(status) if signaled else None,
            "end_time": self._end_time,
            "on_request": self._fate.on_request,
            "reason": self._fate.reason,
            "message": self._fate.message,
            "left_behind": len(self._left_behind),
            **self._usage(),
        }

    def _usage(self) -> records.Record:
        return {
            "peak_memory_bytes": self._meter.peak_memory_bytes,
            "processor_seconds": self._meter.processor_seconds,
        }


def main(folder: str) -> None:
    """Start and hold the run of this folder, unless that was done already."""
    if os.fork():
        os._exit(0)  # the agent has no child to wait for
    os.setsid()
    _open_log(folder)
    _ignore_signals()
    _become_subreaper()
    launch = records.read(folder, records.LAUNCH)
    try:
        child = start(launch, record=lambda process: _record_start(folder, process))
    except FileExistsError:
        _say(EXISTS)
        return
    except NotStartedError as error:
        records.write(folder, records.EXIT, {"refused": str(error)})
        _say(REFUSED)
        return
    supervisor = Supervisor(folder, launch, child)
    _say(STARTED)
    supervisor.run()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _record_start(folder: str, process: processes.Process) -> None:
    own = processes.identify(os.getpid())
    control = f"{folder}/{records.CONTROL}"
    with suppress(FileExistsError):  # of one that did not come as far as the next line
        os.mkfifo(control, 0o600)
    records.write_once(
        folder,
        records.START,
        {
            "boot_id": processes.boot_id(),
            "supervisor": [own.pid, own.start_ticks],
            "process": [process.pid, process.start_ticks],
            "start_time": time.time(),
            "format": FORMAT,
        },
    )


def _open_log(folder: str) -> None:
    log = os.open(f"{folder}/{records.LOG}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)


def _ignore_signals() -> None:
    """Live on when a terminal closes or the machine begins to shut down: the run decides."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _wake)


def _wake(_number: int, _frame: object) -> None:
    """Do nothing: the wakeup descriptor has ended the wait for something to happen."""


def _become_subreaper() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _say(word: str) -> None:
    """Tell whoever launched us, if it still listens, and let go of it."""
    try:
        os.write(1, word.encode() + b"\n")
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


if __name__ == "__main__":
    main(sys.argv[1])
