"""Ends a run with everything that it started, through its supervisor or without it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trackside_runner_local import processes, records
from trackside_runner_local.presence import Presence, recorded
from trackside_runner_local.processes import Process

ROUND_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.1
ASK_AGAIN_SECONDS: Final = 1.0
TIMES_ASKED: Final = 10


async def stop(run_id: str, folder: str, grace_seconds: float) -> bool:
    """Tell a run to end, once, and return whether nothing of it is left when it has to be."""
    try:
        start = records.read(folder, records.START)
    except FileNotFoundError:
        return True
    order = b"%b %.3f\n" % (records.STOP, grace_seconds)
    with Presence(recorded(start, "supervisor")) as supervisor:
        for _ in range(TIMES_ASKED):
            if not supervisor.ended.is_set() and not records.exists(folder, records.TOLD):
                supervisor.send(signal.SIGCONT)  # somebody may have stopped it
                _ask(folder, order)
                await supervisor.wait(ASK_AGAIN_SECONDS)
        # From here on it is the supervisor that keeps the time, with us or without.
        while not supervisor.ended.is_set() and records.exists(folder, records.TOLD):
            if records.exists(folder, records.ESCALATION):
                return False
            await supervisor.wait(LOOK_SECONDS)
        if not supervisor.ended.is_set():
            return False
    if records.exists(folder, records.EXIT) or start["boot_id"] != processes.boot_id():
        return not records.exists(folder, records.ESCALATION)
    find = _finder(run_id, recorded(start, "process"))
    return await _stop_without_supervisor(folder, find, grace_seconds)


async def kill(run_id: str, folder: str) -> None:
    """Kill a run and return when none of its processes is left."""
    try:
        start = records.read(folder, records.START)
    except FileNotFoundError:
        return
    find = _finder(run_id, recorded(start, "process"))
    with Presence(recorded(start, "supervisor")) as supervisor:
        for _ in range(TIMES_ASKED):
            if not supervisor.ended.is_set():
                supervisor.send(signal.SIGCONT)  # somebody may have stopped it
                _ask(folder, records.KILL + b"\n")
                await supervisor.wait(ASK_AGAIN_SECONDS)
        if not supervisor.ended.is_set():
            await _end_without_supervisor(find)
            supervisor.send(signal.SIGKILL)
            await supervisor.ended.wait()
    if not records.exists(folder, records.EXIT) and start["boot_id"] == processes.boot_id():
        await _end_without_supervisor(find)


def _ask(folder: str, order: bytes) -> None:
    """Tell the supervisor; it may be gone, which is noticed elsewhere."""
    try:
        control = os.open(f"{folder}/{records.CONTROL}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(control, order)
    except OSError:
        return
    finally:
        os.close(control)


def _finder(run_id: str, process: Process | None) -> Callable[[], set[Process]]:
    """Return what finds all of a run by the mark in its environment, and whatever that started."""

    def find() -> set[Process]:
        found = processes.marked(f"TRACKSIDE_RUN_ID={run_id}")
        if process is not None and processes.is_alive(process):
            found.add(process)
        return found | processes.descendants([one.pid for one in found])

    return find


async def _stop_without_supervisor(
    folder: str, find: Callable[[], set[Process]], grace_seconds: float
) -> bool:
    """Do what the supervisor would have done, or go on where it had come to."""
    deadline = time.monotonic() + grace_seconds
    if not records.exists(folder, records.TOLD):
        with suppress(FileExistsError):
            records.write_once(folder, records.TOLD, {"deadline": deadline})
            await asyncio.to_thread(processes.tell, find)
    given = records.read(folder, records.TOLD)["deadline"]
    deadline = min(deadline, given) if isinstance(given, float) else deadline
    while await asyncio.to_thread(find):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def _end_without_supervisor(find: Callable[[], set[Process]]) -> None:
    while True:
        if not await asyncio.to_thread(processes.end, find):
            return
        await asyncio.sleep(ROUND_SECONDS)  # for the system to take them away
