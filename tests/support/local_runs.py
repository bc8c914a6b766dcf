"""Runs of the local runner for its tests, and their processes, none of which outlives a test."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackside_plugin_interface import Ending, Handle, RunSpec
from trackside_plugin_interface.testing.recording import RecordingReporter
from trackside_runner_local.processes import Process, is_alive, marked, send
from trackside_runner_local.runner import LocalRunner

PATIENCE_SECONDS = 90.0


class LocalRun:
    """One run of the local runner, as an agent would treat it."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        *,
        work_directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.runner = LocalRunner(capacity=2)
        self.reporter = RecordingReporter()
        self.folder = folder / secrets.token_hex(4)
        self.folder.mkdir()
        self.spec = RunSpec(
            run_id=secrets.token_hex(8),
            name="test",
            command=command,
            work_directory=str(folder) if work_directory is None else work_directory,
            environment=environment or {},
            server="127.0.0.1:1",
            token=secrets.token_hex(8),
            run_directory=self.folder,
        )

    @classmethod
    def python(
        cls,
        folder: Path,
        program: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
    ) -> "LocalRun":
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return cls(folder, command, environment=environment)

    async def launch(self) -> Handle:
        return await self.runner.launch(self.spec, self.reporter)

    async def follow(self, handle: Handle) -> Ending:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.runner.adopt(handle, self.reporter)
        (ending,) = self.reporter.endings
        return ending

    async def to_the_end(self) -> Ending:
        return await self.follow(await self.launch())

    def record(self, name: str) -> Mapping[str, Any]:
        return json.loads((self.folder / name).read_text())

    def change_record(self, name: str, **changes: object) -> None:
        (self.folder / name).write_text(json.dumps({**self.record(name), **changes}))

    @property
    def supervisor(self) -> Process:
        return Process(*self.record("start.json")["supervisor"])

    @property
    def process(self) -> Process:
        return Process(*self.record("start.json")["process"])

    def processes(self) -> set[Process]:
        return marked(f"TRACKSIDE_RUN_ID={self.spec.run_id}")

    def supervisors(self) -> list[Process]:
        """Return whoever holds the run now, those that stand by first."""
        now = Process(*self.record("state.json")["supervisor"])
        known = {Process(*self.record("start.json")["standby"]), self.supervisor, now}
        return sorted(filter(is_alive, known), key=lambda one: one == now)

    def kill_supervisor(self) -> None:
        """Kill who holds the run; whoever stands by takes over."""
        _kill(self.supervisors()[-1])

    def kill_standby(self) -> None:
        _kill(self.supervisors()[0])

    def kill_supervisors(self) -> None:
        for process in self.supervisors():
            _kill(process)

    def clean_up(self) -> None:
        if (self.folder / "start.json").exists():
            self.kill_supervisors()
        for process in self.processes():
            send(process, signal.SIGKILL)


def _kill(process: Process) -> None:
    send(process, signal.SIGKILL)
    while is_alive(process):
        pass  # in a moment it is not


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - of another process, which sets no event
            await asyncio.sleep(0.01)
