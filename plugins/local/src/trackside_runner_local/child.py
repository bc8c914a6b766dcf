"""Starts the command of a run, such that it cannot run before it is written down that it does."""

import errno
import os
import signal
from collections.abc import Callable, Mapping

from trackside_runner_local import records
from trackside_runner_local.processes import Process, identify

UNSTARTED = 127
DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGCHLD,
)
"""What Python or the supervisor ignores or handles, and a command does not expect to be."""


class NotStartedError(Exception):
    """The system refused to execute the command."""


def start(folder: str, launch: Mapping[str, object], record: Callable[[Process], None]) -> Process:
    """Start the command in a session of its own and return its first process when it runs.

    The new process waits at a gate until `record` has returned. When `record` raises, or we die
    before it has, the gate is never opened and nothing is executed.

    Raises:
        NotStartedError: The system refused to execute the command.
    """
    gate, opener = os.pipe()
    failure, child_failure = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        _execute(folder, launch, gate, child_failure)
    for descriptor in (gate, child_failure):
        os.close(descriptor)
    try:
        process = identify(pid)
        record(process)
        os.write(opener, b"1")
    finally:
        os.close(opener)
    with open(failure, "rb") as file:  # noqa: PTH123 - a descriptor, no path
        message = file.read().decode()
    if message:
        os.waitpid(pid, 0)
        raise NotStartedError(message)
    return process


def _execute(folder: str, launch: Mapping[str, object], gate: int, failure: int) -> None:
    """Become the command; never return. All descriptors but 0 to 2 close by themselves.

    Its output goes to FIFOs that it can read as well, though it never will: so long as it lives
    there is a reader, and with every supervisor killed it waits for the next one to read on,
    where it would otherwise die of SIGPIPE.
    """
    try:
        os.setsid()
        if not os.read(gate, 1):
            os._exit(UNSTARTED)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for path, mode, place in (
            (os.devnull, os.O_RDONLY, 0),
            (f"{folder}/{records.STDOUT}", os.O_RDWR, 1),
            (f"{folder}/{records.STDERR}", os.O_RDWR, 2),
        ):
            os.dup2(os.open(path, mode), place)
        _leave_for(launch)
    except BaseException as error:  # noqa: BLE001 - this is a copy of the supervisor, and must not go on as one
        os.write(failure, _reason(error, launch).encode(errors="replace"))
    finally:
        os._exit(UNSTARTED)


def _reason(error: BaseException, launch: Mapping[str, object]) -> str:
    if not isinstance(error, OSError):
        return repr(error)
    reason = f"'{error.filename}': {error.strerror}"
    if error.errno == errno.ENOENT and os.access(str(error.filename), os.F_OK):
        # Said of the file, and meant of what its first line, or its header, asks for.
        reason = f"'{error.filename}': the interpreter that it names does not exist"
    command, environment = launch["command"], launch["environment"]
    if error.errno == errno.E2BIG and isinstance(command, list) and isinstance(environment, dict):
        size = sum(len(str(text)) for text in (*command, *environment, *environment.values()))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - texts
        reason += f" (command and environment together: {size:,} characters)"
    return reason


def _leave_for(launch: Mapping[str, object]) -> None:
    work_directory, program = str(launch["work_directory"]), str(launch["program"])
    command, environment = launch["command"], launch["environment"]
    assert isinstance(command, list)
    assert isinstance(environment, dict)
    os.chdir(work_directory)
    os.execve(program, command, environment)  # noqa: S606 # pyright: ignore[reportUnknownArgumentType] - texts, as the runner wrote them
