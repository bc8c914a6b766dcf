"""Runs commands on this machine, each held by a supervisor of its own."""

import os
from collections.abc import Mapping
from typing import Final

from typing_extensions import override

from trackside_plugin_interface import (
    DoomedOutput,
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
from trackside_runner_local import deleting, ending, records
from trackside_runner_local.directories import recorded_directory
from trackside_runner_local.following import Follower
from trackside_runner_local.launches import launch_record
from trackside_runner_local.presence import see_to_it_that_it_is_held
from trackside_runner_local.reading import LocalReader

SLOTS: Final = "TRACKSIDE_LOCAL_SLOTS"


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
            await see_to_it_that_it_is_held(folder)
        _raise_if_refused(folder)
        return {"run_id": spec.run_id, "folder": folder}

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        folder = str(handle["folder"])
        directory = recorded_directory(records.read_if_there(folder, records.LAUNCH))
        if directory is not None:
            reporter.output_directory(directory)
        await Follower(str(handle["run_id"]), folder, reporter).follow()

    @override
    async def stop(self, handle: Handle, grace_seconds: float) -> bool:
        return await ending.stop(str(handle["folder"]), grace_seconds)

    @override
    async def kill(self, handle: Handle) -> None:
        await ending.kill(str(handle["run_id"]), str(handle["folder"]))

    @override
    async def open_output(self, place: OutputPlace) -> OpenedFile | OpenedFolder:
        return await self._reader.open(place)

    @override
    async def examine_output(self, doomed: DoomedOutput) -> Handle:
        return await self._reader.do(lambda: deleting.examine(doomed))

    @override
    async def delete_output(self, doomed: DoomedOutput, examined: Handle) -> int:
        return await self._reader.do(lambda: deleting.delete(doomed, examined))


def _write_launch(folder: str, record: records.Record) -> None:
    try:
        records.write(folder, records.LAUNCH, record)
    except OSError as error:  # the disk is full, for example
        message = f"what to launch cannot be written down: {error}"
        raise NothingLaunchedError(message) from error


def _raise_if_refused(folder: str) -> None:
    try:
        end = records.read(folder, records.EXIT)
    except FileNotFoundError:
        return
    if "refused" in end:
        message = f"the system refuses to start {end['refused']}"
        raise SpecRefusedError(message)
