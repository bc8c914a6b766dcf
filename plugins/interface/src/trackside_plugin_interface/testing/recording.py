"""A reporter that remembers what it was told, and keeps the promises of the real one."""

# ruff: noqa: D102 - the contract is written on Reporter

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from trackside_plugin_interface.deletions import OutputDirectory
from trackside_plugin_interface.reports import (
    Ending,
    ErrorReport,
    LogLevel,
    Machine,
    Output,
    RunState,
    Scope,
    StateReason,
    Task,
    Usage,
)


@dataclass(slots=True, eq=False)
class RecordingReporter:
    """Remembers reports. Make the next one for the same run with `after_restart`."""

    position: str = ""
    states: list[RunState] = field(default_factory=list[RunState])
    reports: list[object] = field(default_factory=list[object])
    endings: list[Ending] = field(default_factory=list[Ending])
    written: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def after_restart(self) -> "RecordingReporter":
        """Return what the host hands out after a restart: all that was written is durable."""
        return RecordingReporter(position=self.position, written=self.written)

    def output(self, stream: str = "stdout") -> bytes:
        """Return everything that was written to a stream so far."""
        return bytes(self.written.get(stream, b""))

    def state(
        self,
        state: RunState,
        *,
        reason: StateReason | None = None,
        message: str = "",
        engine_state: str = "",
        time: float | None = None,
    ) -> None:
        del reason, message, engine_state, time
        self._before_the_end()
        self.states.append(state)

    def progress(self, message: str) -> None:
        self._report(message)

    def machine(self, machine: Machine) -> None:
        self._report(machine)

    def usage(self, usage: Usage) -> None:
        self._report(usage)

    def task(self, task: Task) -> None:
        self._report(task)

    def scope(self, scope: Scope) -> None:
        self._report(scope)

    def output_directory(self, directory: OutputDirectory) -> None:
        self._report(directory)

    def publish(self, output: Output) -> None:
        self._report(output)

    def error(self, error: ErrorReport) -> None:
        self._report(error)

    def metric(
        self,
        key: str,
        value: float,
        *,
        step: int,
        time: float | None = None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        del time
        self._report((key, value, step, context))

    def log(
        self,
        message: str,
        *,
        level: LogLevel = LogLevel.INFO,
        stream: str = "engine",
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        del time
        self._report((message, level, stream, task_id))

    def write(
        self,
        data: bytes,
        *,
        stream: str,
        position: str,
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        del time, task_id
        self._before_the_end()
        self.written.setdefault(stream, bytearray()).extend(data)
        self.position = position

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def finished(self, ending: Ending) -> None:
        self._before_the_end()
        self.endings.append(ending)

    def _report(self, report: object) -> None:
        self._before_the_end()
        self.reports.append(report)

    def _before_the_end(self) -> None:
        assert not self.endings, "something was reported after `finished`"
        self.changed.set()
