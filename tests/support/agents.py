"""Agents as processes of their own for tests, none of which outlives a test."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from support.control_room import ControlRoom, Told
from trackside_agent.detached import find_running
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_runner_local.processes import Process, marked, send

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def new_run_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(16))


def how_it_ended(told: Told) -> tuple[str, str]:
    """Return the state and the reason with which a run ended."""
    assert told.ending is not None
    state, reason = told.ending.state, told.ending.reason
    return (
        RunState.Name(state).removeprefix("RUN_STATE_"),
        StateReason.Name(reason).removeprefix("STATE_REASON_"),
    )


def processes_of(run_id: str) -> set[Process]:
    return marked(f"TRACKSIDE_RUN_ID={run_id}")


def resident_mebibytes(pid: int, what: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


class AgentProcess:
    """An agent and its home."""

    def __init__(self, home: Path, room: ControlRoom) -> None:
        self.home = home
        self.room = room
        self.run_ids: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / "token").write_text("token-of-the-agent\n")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRACKSIDE_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trackside_agent"],
            env={
                **inherited,
                "TRACKSIDE_HOME": str(self.home),
                "TRACKSIDE_SERVER": self.room.address,
                "TRACKSIDE_LOCAL_SLOTS": "8",
                **environment,
            },
            stdin=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.home / "agent" / "agent.log").read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the process ends by itself, and return its exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def run(
        self,
        program: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> str:
        """Have a Python program run, and return the run's id."""
        run = self.new_run([sys.executable, "-c", program, *map(str, arguments)])
        run.launch.environment.update(environment or {})
        for key, value in (parameters or {}).items():
            ParseDict(value, run.parameters[key])
        self.room.assign(run)
        return run.run_id

    def new_run(self, command: list[str], runner: str = "local") -> Run:
        """Return a run that is cleaned up after, to be assigned."""
        run = Run(run_id=new_run_id(), name="test", runner=runner)
        run.launch.command.extend(command)
        run.launch.work_directory = str(self.home)
        self.run_ids.append(run.run_id)
        return run

    def folder(self, run_id: str) -> Path:
        return self.home / "agent" / "runs" / run_id

    def supervisor(self, run_id: str) -> Process:
        return self.supervisors(run_id)[-1]

    def supervisors(self, run_id: str) -> list[Process]:
        """Return who was started to hold a run, the one that stands by first."""
        record = json.loads((self.folder(run_id) / "runner" / "start.json").read_text())
        return [Process(*record[role]) for role in ("standby", "supervisor")]

    def clean_up(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if (detached := find_running(self.home)) is not None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(detached, signal.SIGKILL)
        for run_id in self.run_ids:
            if (self.folder(run_id) / "runner" / "start.json").exists():
                for supervisor in self.supervisors(run_id):
                    send(supervisor, signal.SIGKILL)
            for process in processes_of(run_id):
                send(process, signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)
