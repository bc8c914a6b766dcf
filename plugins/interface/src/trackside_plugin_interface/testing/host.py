"""What an agent does with a runner, in small, and how a test looks at what came of it."""

import asyncio
import fcntl
import json
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trackside_plugin_interface.discovery import find_runners
from trackside_plugin_interface.reports import Ending
from trackside_plugin_interface.runner import Handle, Runner, RunSpec
from trackside_plugin_interface.testing.recording import RecordingReporter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Follower:
    """A run that is followed meanwhile."""

    seconds: float
    task: asyncio.Future[None]
    reporter: RecordingReporter

    async def until(self, is_so: Callable[[RecordingReporter], bool]) -> None:
        """Wait until something was reported."""
        async with asyncio.timeout(self.seconds):
            while not is_so(self.reporter):
                self.reporter.changed.clear()
                assert not self.task.done(), "adopt returned too early"
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.reporter.changed.wait(), 0.1)

    async def until_ended(self) -> None:
        """Wait until the run has ended."""
        async with asyncio.timeout(self.seconds):
            await self.task


class Host:
    """Does with the runner what an agent does. Each `Host` is a process that began anew."""

    def __init__(self, name: str, seconds: float) -> None:
        self.runner: Runner = find_runners().runners[name]
        self.seconds = seconds

    async def run(self, spec: RunSpec) -> RecordingReporter:
        """Launch and follow to the end."""
        reporter = RecordingReporter()
        handle = as_stored(await self.within(self.runner.launch(spec, reporter)))
        await self.within(self.runner.adopt(handle, reporter))
        return reporter

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`, but not for ever."""
        async with asyncio.timeout(self.seconds):
            return await work

    @contextmanager
    def following(self, handle: Handle, reporter: RecordingReporter) -> Generator[Follower]:
        """Adopt a run meanwhile; cancelled at the end, as when the host goes."""
        task = asyncio.ensure_future(self.runner.adopt(handle, reporter))
        try:
            yield Follower(self.seconds, task, reporter)
        finally:
            task.cancel()


def as_stored(handle: Handle) -> Handle:
    """Return the handle as it comes back from the disk."""
    return json.loads(json.dumps(handle))


def ending(reporter: RecordingReporter) -> Ending:
    """Return how the run ended: exactly one ending was reported."""
    assert len(reporter.endings) == 1, f"`finished` was called {len(reporter.endings)} times"
    return reporter.endings[0]


def locked(folder: Path) -> Sequence[str]:
    """Return the files on which a process holds a lock."""
    found: list[str] = []
    for path in folder.iterdir():
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if file.read():
                    found.append(path.name)
    return found


Hosts = Callable[[], Host]
"""Makes another host of the runner that is tested."""

Specs = Callable[..., RunSpec]
"""Makes what is to be run from a command."""
