"""Whether a recorded process is still there, as something to wait for."""

import asyncio
import os
import signal
from contextlib import suppress
from types import TracebackType
from typing import Self

from trackside_runner_local import processes
from trackside_runner_local.processes import Process, ProcessGoneError
from trackside_runner_local.records import Record


def recorded(start: Record, role: str) -> Process | None:
    """Return a process of the start record; nothing when it is of another boot of the machine."""
    if start["boot_id"] != processes.boot_id():
        return None
    numbers = start[role]
    assert isinstance(numbers, list)
    return Process(*numbers)  # pyright: ignore[reportUnknownArgumentType] - two numbers, as the supervisor wrote them


class Presence:
    """Sets `ended` when a process has ended, at once when it has already. Used as a context."""

    def __init__(self, process: Process | None) -> None:
        self.ended = asyncio.Event()
        self._process = process
        self._descriptor = -1

    def __enter__(self) -> Self:
        if self._process is None:
            self.ended.set()
            return self
        try:
            self._descriptor = processes.open_process(self._process)
        except ProcessGoneError:
            self.ended.set()
        else:
            asyncio.get_running_loop().add_reader(self._descriptor, self._note_end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._let_go()

    async def wait(self, seconds: float | None) -> None:
        """Wait for the end, but no longer than this, if that is given."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal; nothing happens when it has ended."""
        if self._process is not None:
            processes.send(self._process, number)

    def _note_end(self) -> None:
        self.ended.set()
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
