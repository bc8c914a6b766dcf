"""Starts the command of a run, such that it cannot run before it is written down that it does."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

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


class Child:
    """The command's first process, and where its output can be read."""

    __slots__ = ("process", "stderr", "stdout")

    def __init__(self, process: Process, stdout: int, stderr: int) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr = stderr


def start(launch: Mapping[str, object], record: Callable[[Process], None]) -> Child:
    """Start the command in a session of its own and return when it runs.

    The new process waits at a gate until `record` has returned. When `record` raises, or we die
    before it has, the gate is never opened and nothing is executed.

    Raises:
        NotStartedError: The system refused to execute the command.
    """
    stdout, child_stdout = os.pipe()
    stderr, child_stderr = os.pipe()
    gate, opener = os.pipe()
    failure, child_failure = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        _execute(launch, gate, (child_stdout, child_stderr), child_failure)
    for descriptor in (child_stdout, child_stderr, gate, child_failure):
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
    return Child(process, stdout, stderr)


def _execute(launch: Mapping[str, object], gate: int, output: Sequence[int], failure: int) -> None:
    """Become the command; never return. All descriptors but 0 to 2 close by themselves."""
    try:
        os.setsid()
        if not os.read(gate, 1):
            os._exit(UNSTARTED)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in ((nothing, 0), (output[0], 1), (output[1], 2)):
            os.dup2(descriptor, place)
        _leave_for(launch)
    except BaseException as error:  # noqa: BLE001 - this is a copy of the supervisor, and must not go on as one
        os.write(failure, _reason(error).encode())
    finally:
        os._exit(UNSTARTED)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"'{error.filename}': {error.strerror}"
    return repr(error)


def _leave_for(launch: Mapping[str, object]) -> None:
    work_directory, program = str(launch["work_directory"]), str(launch["program"])
    command, environment = launch["command"], launch["environment"]
    assert isinstance(command, list)
    assert isinstance(environment, dict)
    os.chdir(work_directory)
    os.execve(program, command, environment)  # noqa: S606 # pyright: ignore[reportUnknownArgumentType] - texts, as the runner wrote them
