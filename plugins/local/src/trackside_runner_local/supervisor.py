"""Holds one run: starts its command, keeps what it prints and how it ends, kills it on demand.

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
from trackside_runner_local.frames import FORMAT, PIECE_BYTES, STDERR, STDOUT, FrameWriter

STARTED, EXISTS, REFUSED = "started", "exists", "refused"

PR_SET_CHILD_SUBREAPER = 36

LINGER_SECONDS = 2.0
"""How long what the command left behind may go on after it; then the run is over for all."""

IDLE_MILLISECONDS = 1000
ENDING_MILLISECONDS = 20


class Supervisor:
    """One run in the making: the loop between its output, its end and the commands of the agent."""

    def __init__(self, folder: str, run_id: str, child: Child) -> None:
        self._folder = folder
        self._marker = f"TRACKSIDE_RUN_ID={run_id}"
        self._child = child
        self._output = FrameWriter(f"{folder}/{records.OUTPUT}")
        self._streams = {child.stdout: STDOUT, child.stderr: STDERR}
        self._control = os.open(
            f"{folder}/{records.CONTROL}", os.O_RDWR | os.O_NONBLOCK
        )  # for writing too, so that it has no end
        self._poll = select.poll()
        self._wait_status: int | None = None
        self._end_time = 0.0
        self._linger_until = 0.0
        self._killed = False
        self._left_behind: set[processes.Process] = set()
        self._peak_memory_bytes = 0
        self._processor_seconds = 0.0

    def run(self) -> records.Record:
        """Hold the run until nothing of it is left, and return how it ended."""
        wakeup, self_pipe = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(self_pipe, False)
        signal.set_wakeup_fd(self_pipe, warn_on_full_buffer=False)
        for descriptor in (*self._streams, self._control, wakeup):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        while self._reap():
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
        return self._ending()

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
            self._peak_memory_bytes = max(self._peak_memory_bytes, usage.ru_maxrss * 1024)
            self._processor_seconds += usage.ru_utime + usage.ru_stime
            if pid == self._child.process.pid:
                self._wait_status, self._end_time = status, time.time()
                self._linger_until = time.monotonic() + LINGER_SECONDS

    def _end_when_due(self) -> None:
        if not self._killed and self._is_outlived():
            self._left_behind |= processes.descendants([os.getpid()])
        if self._killed or self._is_outlived():
            processes.end(self._find)

    def _is_outlived(self) -> bool:
        return self._wait_status is not None and time.monotonic() >= self._linger_until

    def _find(self) -> set[processes.Process]:
        return processes.descendants([os.getpid()]) | processes.marked(self._marker)

    def _patience(self) -> int:
        if self._killed or self._is_outlived():
            return ENDING_MILLISECONDS
        if self._wait_status is None:
            return IDLE_MILLISECONDS * 3600
        return max(0, int((self._linger_until - time.monotonic()) * 1000) + 1)

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
        commands = os.read(self._control, PIECE_BYTES)
        if records.KILL in commands:
            self._killed = True

    def _ending(self) -> records.Record:
        status = self._wait_status
        assert status is not None, "the command is a child of ours, and none is left"
        signaled = os.WIFSIGNALED(status)
        return {
            "exit_code": None if signaled else os.WEXITSTATUS(status),
            "exit_signal": os.WTERMSIG(status) if signaled else None,
            "end_time": self._end_time,
            "killed": self._killed,
            "left_behind": len(self._left_behind),
            "peak_memory_bytes": self._peak_memory_bytes,
            "processor_seconds": self._processor_seconds,
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
    run_id = str(launch["run_id"])
    try:
        child = start(launch, record=lambda process: _record_start(folder, process))
    except FileExistsError:
        _say(EXISTS)
        return
    except NotStartedError as error:
        records.write(folder, records.EXIT, {"refused": str(error)})
        _say(REFUSED)
        return
    supervisor = Supervisor(folder, run_id, child)
    _say(STARTED)
    records.write(folder, records.EXIT, supervisor.run())


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
