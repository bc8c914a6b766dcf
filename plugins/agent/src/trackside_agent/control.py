"""Ends one run on demand: what is asked and stored is acknowledged, done, and confirmed."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from trackside_agent.plugin_calls import Pauses, PluginFaultError, call
from trackside_agent.reporting import SpoolingReporter
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_plugin_interface import EngineUnavailableError, Handle, Runner, SpecRefusedError
from trackside_protos.runs.v1.report_pb2 import ControlReport, ControlStep, RunReport

LATE_SECONDS: Final = 5.0
"""How long after the grace time a runner is waited for that does not say how a stop went."""

logger = logging.getLogger(__name__)


class Control:
    """What was asked of one run. To be used on the loop of its runner.

    A stop gives way to a kill: when its grace time is over, and when a kill comes meanwhile.
    """

    def __init__(self, folder: RunFolder, runner: Runner) -> None:
        self._folder = folder
        self._runner = runner
        self._end_wanted = asyncio.Event()
        self._kill_wanted = asyncio.Event()
        self._acknowledged: set[str] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether the run is to be ended."""
        return self._end_wanted.is_set()

    @property
    def word(self) -> str:
        """The reason of the end of a run that is ended so; empty when nothing was asked."""
        commands = self._folder.commands
        if not commands:
            return ""
        return "KILLED" if any(command.is_kill for command in commands) else "STOPPED"

    def take_up(self, reporter: SpoolingReporter) -> None:
        """Acknowledge what was stored since, and see that it is done."""
        for command in self._folder.commands:
            if command.request_id not in self._acknowledged:
                self._acknowledged.add(command.request_id)
                reporter.report(_report(command, ControlStep.CONTROL_STEP_ACKNOWLEDGED))
            self._end_wanted.set()
            if command.is_kill:
                self._kill_wanted.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the run is first to be ended."""
        if self.is_wanted:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._end_wanted.wait(), seconds)

    async def end_when_wanted(self, handle: Handle, reporter: SpoolingReporter) -> None:
        """Wait until the run is to be ended, and return when nothing of it is left."""
        await self._end_wanted.wait()
        if not self._kill_wanted.is_set() and await self._is_stopped(handle):
            return
        if not self._kill_wanted.is_set():
            for command in self._folder.commands:
                reporter.report(_report(command, ControlStep.CONTROL_STEP_ESCALATED))
        await self._kill(handle)

    def confirmations(self, *, nothing_found: bool) -> Iterator[RunReport]:
        """Yield that all is done that was asked.

        Args:
            nothing_found: Whether there was nothing left to do, when it was asked.
        """
        for command in self._folder.commands:
            report = _report(command, ControlStep.CONTROL_STEP_CONFIRMED)
            report.control.nothing_found = nothing_found
            yield report

    async def _is_stopped(self, handle: Handle) -> bool:
        """Stop the run, and return whether that was enough; not so when a kill overtakes it."""
        stopping = asyncio.ensure_future(self._stop(handle))
        overtaking = asyncio.ensure_future(self._kill_wanted.wait())
        try:
            await asyncio.wait((stopping, overtaking), return_when=asyncio.FIRST_COMPLETED)
            return stopping.done() and stopping.result()
        finally:
            stopping.cancel()
            overtaking.cancel()

    async def _stop(self, handle: Handle) -> bool:
        pauses = Pauses()
        with suppress(TimeoutError):
            async with asyncio.timeout(_left(self._folder.commands) + LATE_SECONDS):
                while True:
                    left = _left(self._folder.commands)
                    try:
                        return await call(self._runner.name, self._runner.stop(handle, left))
                    except (EngineUnavailableError, PluginFaultError, SpecRefusedError) as error:
                        self._complain(error)
                    if not left:
                        return False
                    await asyncio.sleep(min(pauses.next(), left))
        return False

    async def _kill(self, handle: Handle) -> None:
        pauses = Pauses()
        while True:
            try:
                await call(self._runner.name, self._runner.kill(handle))
            except (EngineUnavailableError, PluginFaultError, SpecRefusedError) as error:
                self._complain(error)
                await asyncio.sleep(pauses.next())
            else:
                return

    def _complain(self, error: Exception) -> None:
        logger.warning("run %s cannot be ended now: %s", self._folder.run_id, error)


def _left(commands: Sequence[StoredCommand]) -> float:
    """Return how much of the grace time is left; it runs on while there is no agent."""
    now = time.time()
    return min(
        min(one.grace_seconds, max(0.0, one.time + one.grace_seconds - now)) for one in commands
    )


def _report(command: StoredCommand, step: "ControlStep.ValueType") -> RunReport:
    return RunReport(control=ControlReport(request_id=command.request_id, step=step))
