"""Runs commands on this machine, each held by a supervisor of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from typing_extensions import override

import trackside_runner_local
from trackside_plugin_interface import (
    EngineUnavailableError,
    Handle,
    NothingLaunchedError,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
    Reporter,
    Runner,
    RunSpec,
    SpecRefusedError,
)
from trackside_runner_local import ending, records, supervisor
from trackside_runner_local.following import Follower
from trackside_runner_local.launches import launch_record
from trackside_runner_local.reading import LocalReader

SLOTS: Final = "TRACKSIDE_LOCAL_SLOTS"
START_SECONDS: Final = 60.0
SOURCES: Final = str(Path(trackside_runner_local.__file__).parent.parent)


def slots(environment: Mapping[str, str]) -> int:
    """Return how many runs to take at once: `TRACKSIDE_LOCAL_SLOTS`, or one per processor.

    Raises:
        ValueError: The setting is no whole number of at least 1.
    """
    text = environment.get(SLOTS)
    if text is None:
        return max(2, os.cpu_count() or 1)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        message = f"{SLOTS} is {text!r}: a whole number of at least 1 is needed"
        raise ValueError(message)
    return int(text)


class LocalRunner(Runner):
    """Runs commands on this machine.

    What it knows of a run is in the run's folder, so that a new one finds every run again.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._reader = LocalReader()

    @property
    @override
    def name(self) -> str:
        return "local"

    @property
    @override
    def capacity(self) -> int:
        return self._capacity

    @override
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        folder = str(spec.run_directory)
        if not records.exists(folder, records.START):
            _write_launch(folder, launch_record(spec, os.environ))
            await asyncio.to_thread(_start_supervisor, folder)
        _raise_if_refused(folder)
        return {"run_id": spec.run_id, "folder": folder}

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        await Follower(str(handle["run_id"]), str(handle["folder"]), reporter).follow()

    @override
    async def stop(self, handle: Handle, grace_seconds: float) -> bool:
        return await ending.stop(str(handle["run_id"]), str(handle["folder"]), grace_seconds)

    @override
    async def kill(self, handle: Handle) -> None:
        await ending.kill(str(handle["run_id"]), str(handle["folder"]))

    @override
    async def open_output(self, place: OutputPlace) -> OpenedFile | OpenedFolder:
        return await self._reader.open(place)


def _write_launch(folder: str, record: records.Record) -> None:
    try:
        records.write(folder, records.LAUNCH, record)
    except OSError as error:  # the disk is full, for example
        message = f"what to launch cannot be written down: {error}"
        raise NothingLaunchedError(message) from error


def _start_supervisor(folder: str) -> None:
    """Start a supervisor and return when the command runs or is known not to.

    Raises:
        EngineUnavailableError: The supervisor could not come that far, or has not so far.
    """
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


def _raise_if_refused(folder: str) -> None:
    try:
        end = records.read(folder, records.EXIT)
    except FileNotFoundError:
        return
    if "refused" in end:
        message = f"the system refuses to start {end['refused']}"
        raise SpecRefusedError(message)
