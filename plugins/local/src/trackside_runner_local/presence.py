"""Whether a run has a supervisor, as something to wait for, and how it gets another."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trackside_runner_local
from trackside_plugin_interface import EngineUnavailableError, NothingLaunchedError
from trackside_runner_local import processes, records, supervisor
from trackside_runner_local.processes import Process

START_SECONDS: Final = 60.0
SOURCES: Final = str(Path(trackside_runner_local.__file__).parent.parent)


class Presence:
    """Sets `ended` when nobody holds a run any more, at once when nobody does. Used as a context.

    The system itself says so: the FIFO of the supervisors has no writer left. And nobody does who
    did in another boot of the machine.
    """

    def __init__(self, folder: str) -> None:
        self.ended = asyncio.Event()
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> Self:
        start = records.read_if_there(self._folder, records.START)
        if start and start["boot_id"] != processes.boot_id():
            self.ended.set()
            return self
        try:
            path = f"{self._folder}/{records.HELD}"
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            self.ended.set()
            return self
        asyncio.get_running_loop().add_reader(self._descriptor, self._look)
        self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._let_go()

    async def wait(self, seconds: float) -> None:
        """Wait for the end, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()

    def _look(self) -> None:
        with suppress(BlockingIOError):  # there is a writer, and it writes nothing
            if not os.read(self._descriptor, 1):
                self.ended.set()
                self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(folder: str) -> bool:
    """Return whether somebody holds a run."""
    with Presence(folder) as presence:
        return not presence.ended.is_set()


def is_over(folder: str, start: records.Record) -> bool:
    """Return whether a run that was started has ended, or the machine was started anew."""
    return records.exists(folder, records.EXIT) or start["boot_id"] != processes.boot_id()


def supervisors(folder: str, start: records.Record) -> list[Process]:
    """Return the processes that hold a run, or held it in this boot of the machine."""
    if start["boot_id"] != processes.boot_id():
        return []
    state = records.read_if_there(folder, records.STATE)
    numbers = [state.get("supervisor"), start["supervisor"], start["standby"]]
    return [Process.of(one) for one in numbers if one]


def send_supervisors(folder: str, start: records.Record, number: signal.Signals) -> None:
    """Send a signal to whoever holds a run."""
    for process in supervisors(folder, start):
        processes.send(process, number)


async def see_to_it_that_it_is_held(folder: str) -> None:
    """Start the run of this folder, or have somebody go on with it; return when it is held.

    Raises:
        EngineUnavailableError: That was not possible now.
    """
    if not (records.exists(folder, records.START) and is_held(folder)):
        await asyncio.to_thread(_start_supervisor, folder)


def _start_supervisor(folder: str) -> None:
    command = [sys.executable, "-s", "-S", "-P", "-m", supervisor.__name__, folder]
    try:
        answer = subprocess.run(  # noqa: S603 - the command is our own
            command,
            cwd="/",
            env={"PYTHONPATH": SOURCES},  # nothing of the agent's: the run's comes from its file
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
            check=False,
        ).stdout.decode()
    except OSError as error:
        message = f"the supervisor of the run could not be started: {error}"
        raise NothingLaunchedError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"the supervisor of the run does not answer: {error}"
        raise EngineUnavailableError(message) from error
    if answer.strip() not in {supervisor.STARTED, supervisor.EXISTS, supervisor.REFUSED}:
        log = Path(folder, records.LOG)
        cause = log.read_text(errors="replace").strip().rpartition("\n")[2] if log.exists() else ""
        message = f"the supervisor of the run ended at once: {cause or answer}"
        # Without a record of its start no command was ever let go (see `child`).
        is_started = records.exists(folder, records.START)
        raise EngineUnavailableError(message) if is_started else NothingLaunchedError(message)
