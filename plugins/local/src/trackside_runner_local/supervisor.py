"""Sees to it that a run is held: starts it, or goes on with it when its supervisors were killed.

`python -m trackside_runner_local.supervisor FOLDER` leaves its parent at once and lives exactly as
long as the run; it needs nobody, and nobody is needed to find out later what happened. It says
one line on its standard output, when the command runs or cannot be started.

It is two processes: one that holds the run, and its parent, which stands by. Each is a subreaper:
when the one is killed, the command becomes the child of the other, which goes on with its output
and sees how it ends. With both killed at once the command still goes on, and waits where it can
no longer write for a third that the agent starts.
"""

import ctypes
import errno
import os
import signal
import sys
import time

from trackside_runner_local import processes, records
from trackside_runner_local.child import NotStartedError, start
from trackside_runner_local.frames import FORMAT
from trackside_runner_local.hold import Hold
from trackside_runner_local.holding import Supervisor
from trackside_runner_local.processes import Process

STARTED, EXISTS, REFUSED = "started", "exists", "refused"

PR_SET_CHILD_SUBREAPER = 36
LOOK_AGAIN_SECONDS = 0.01


def main(folder: str) -> None:
    """Start and hold the run of this folder, unless that was done already."""
    if os.fork():
        os._exit(0)  # the agent has no child to wait for
    os.setsid()
    _open_log(folder)
    _ignore_signals()
    hold = Hold(folder)
    if not _is_for_us(folder, hold):
        _say(EXISTS)
    elif records.exists(folder, records.START):
        _go_on(folder, hold, is_ancestor=False)
    else:
        _start(folder, hold)


def _is_for_us(folder: str, hold: Hold) -> bool:
    """Return whether the run lacks a supervisor; wait for one that is about to start it."""
    while not hold.is_taken():
        if records.exists(folder, records.START):
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return not records.exists(folder, records.EXIT)


def _start(folder: str, hold: Hold) -> None:
    """Start the run in a second process, and stand by."""
    _become_subreaper()
    own = processes.identify(os.getpid())
    second = os.fork()
    if not second:
        _become_subreaper()
        _start_and_hold(folder, hold, own)
        return
    _let_go_of_whoever_launched_us()
    _, status = os.waitpid(second, 0)
    has_begun = records.exists(folder, records.START)
    if status and has_begun and not records.exists(folder, records.EXIT):
        _go_on(folder, hold, is_ancestor=True)


def _start_and_hold(folder: str, hold: Hold, standby: Process) -> None:
    launch = records.read(folder, records.LAUNCH)
    try:
        start(folder, launch, record=lambda process: _record_start(folder, process, standby))
    except NotStartedError as error:
        records.write(folder, records.EXIT, {"refused": str(error)})
        _say(REFUSED)
        return
    supervisor = Supervisor(folder, hold, is_ancestor=True)
    supervisor.keep_state()
    _say(STARTED)
    supervisor.run()


def _go_on(folder: str, hold: Hold, *, is_ancestor: bool) -> None:
    supervisor = Supervisor(folder, hold, is_ancestor=is_ancestor)
    supervisor.go_on()
    _say(STARTED)
    supervisor.run()


def _record_start(folder: str, process: Process, standby: Process) -> None:
    own = processes.identify(os.getpid())
    records.write_once(
        folder,
        records.START,
        {
            "boot_id": processes.boot_id(),
            "supervisor": [own.pid, own.start_ticks],
            "standby": [standby.pid, standby.start_ticks],
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
    _let_go_of_whoever_launched_us()


def _let_go_of_whoever_launched_us() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


if __name__ == "__main__":
    main(sys.argv[1])
